"""Holds the stream back while too many rows are on their way: the machine says how fast it is, not the setting."""

import http.client
import threading
import urllib.error
import urllib.request

from prometheus_client import Gauge
from pydantic import BaseModel, NonNegativeInt

from common.health.state import Health

OPEN = Gauge("data_generator_open_rows", "Rows that are inserted and not settled yet, as far as is known.")
HELD_BACK = Gauge("data_generator_held_back", "1 while nothing is inserted because too many rows are open.")

READ_EVERY_S = 0.5
TIMEOUT_S = 2.0
LONGEST_ANSWER = 10_000
"""Bytes."""


class Reading(BaseModel):
    """What the subscriber says of the topic: messages settled since it was made, and messages that wait in it."""

    settled: NonNegativeInt
    open: NonNegativeInt


class SubscriberUnavailable(Exception):
    """The subscriber does not answer, or does not know."""


class OpenRows:
    """Estimates how many rows are open: those that wait in the topic, and those that have not come so far.

    What others write (people, labels that come late) settles too and is not counted here, so the estimate may be too
    low by what has not reached the topic yet; it is never too high, or the stream could stand still for ever.
    """

    def __init__(self) -> None:
        self._written = 0
        self._offset = 0
        self._settled = 0
        self._changing = threading.Lock()

    def writes(self, count: int) -> None:
        """Count rows, before they are inserted: what the topic can hold must be counted already."""
        with self._changing:
            self._written += count

    def read(self, reading: Reading) -> None:
        """Take in what the subscriber says."""
        with self._changing:
            in_topic = reading.open - self._written
            if reading.settled < self._settled:
                # The topic or the group was made anew; what had not been settled before never will be.
                self._offset = in_topic
            else:
                self._offset = max(in_topic, self._offset - (reading.settled - self._settled))
            self._settled = reading.settled

    def count(self) -> int:
        """The estimate, from what was read last and what was written since."""
        with self._changing:
            return self._written + self._offset


class BackPressure:
    """Asks the subscriber in a thread of its own, when rows are due, so that no answer is waited for.

    While it does not answer, every row that is inserted counts as open.
    """

    def __init__(self, subscriber_url: str, max_open_rows: int, health: Health, stop: threading.Event) -> None:
        self._url, self._max_open_rows = f"{subscriber_url.rstrip('/')}/stream", max_open_rows
        self._health, self._stop = health, stop
        self._rows = OpenRows()
        self._wanted = threading.Event()
        self._away: str | None = None
        self._noted: bool | None = None
        """Whether the subscriber was away in the note that is out; None = there is none."""

    def start(self, loaded: int) -> None:
        """Begin to listen, after a bulk load of so many rows. Asks once, so that the first row finds an answer."""
        self._rows.writes(loaded)
        self._read()
        threading.Thread(target=self._listen, name="back-pressure", daemon=True).start()

    def writes(self, count: int) -> None:
        """Say that `count` rows are being inserted."""
        self._rows.writes(count)

    def available_rows(self) -> int:
        """How many rows may be inserted now; call it when some are due."""
        self._wanted.set()
        open_rows = self._rows.count()
        OPEN.set(open_rows)
        HELD_BACK.set(open_rows >= self._max_open_rows)
        self._tell(open_rows)
        return max(self._max_open_rows - open_rows, 0)

    def _tell(self, open_rows: int) -> None:
        """A note while it holds back. It stays until half are settled, or at the limit it would come and go."""
        away = self._away
        if open_rows >= self._max_open_rows and self._noted != (away is not None):
            self._noted = away is not None
            why = f"the subscriber cannot say how many are settled: {away}" if away else "they are being processed"
            self._health.note("held back", f"{open_rows} rows are open, at most {self._max_open_rows}; {why}")
        elif open_rows < self._max_open_rows / 2 and self._noted is not None:
            self._noted = None
            self._health.note("held back", None)

    def _listen(self) -> None:
        while not self._stop.is_set():
            self._wanted.wait()
            self._wanted.clear()
            self._read()
            self._stop.wait(READ_EVERY_S)

    def _read(self) -> None:
        try:
            self._rows.read(ask_subscriber(self._url))
            self._away = None
        except SubscriberUnavailable as error:
            self._away = str(error)


def ask_subscriber(url: str) -> Reading:
    """What it says now. Raises `SubscriberUnavailable`."""
    # No proxy: it is a service beside this one.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            return Reading.model_validate_json(answer.read(LONGEST_ANSWER))
    except urllib.error.HTTPError as error:
        with error:
            raise SubscriberUnavailable(
                f"{url} answers {error.code}: {error.read(500).decode(errors='replace')}"
            ) from error
    except (OSError, http.client.HTTPException) as error:
        raise SubscriberUnavailable(f"{url}: {error}") from error
    except ValueError as error:
        raise SubscriberUnavailable(
            f"{url} answers something else than it should. Is it the subscriber's address?"
        ) from error
