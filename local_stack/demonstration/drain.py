"""Waits until the rows that are on their way have arrived, for as long as outcomes keep coming."""

import time
from collections.abc import Callable

import httpx
import psycopg2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from local_stack.inspection.account import Account, SourceEnd, all_settled, take_account, without_outcome
from local_stack.stall_detection import STALL_S, StallDetector

POLL_INTERVAL_S = 1.0
PLAIN_LINE_EVERY_S = 10.0


class Rate(ProgressColumn):
    """Outcomes a second."""

    def render(self, task: Task) -> Text:
        """As measured over the last half minute."""
        return Text(f"{task.speed:.1f} rows/s" if task.speed else "")


class Drain:
    """The rows of the source up to `end`. Their account is in `account` once `run` returns."""

    def __init__(
        self,
        databases: tuple[str, str],
        end: SourceEnd,
        subscriber: httpx.Client,
        console: Console,
        pause: Callable[[float], object] = time.sleep,
        patience: StallDetector | None = None,
    ) -> None:
        self._source_url, self._target_url = databases
        self._end, self._subscriber, self._console, self._pause = end, subscriber, console, pause
        self._patience = patience or StallDetector()
        self.account = Account(0)
        self.stalled = False
        """Whether nothing arrived for so long that waiting on is of no use."""

    def run(self) -> None:
        """Until every row has its outcome, the chain has finished, or nothing moves any more; Ctrl-C ends it too."""
        settled = False
        try:
            missing = self._missing()
            with Progress(
                TextColumn("rows on their way arrive"),
                BarColumn(),
                MofNCompleteColumn(),
                Rate(),
                console=self._console,
                transient=True,
                disable=not self._console.is_terminal,
            ) as progress:
                task = progress.add_task("", total=len(missing))
                next_line = time.monotonic()
                total = len(missing)
                while missing:
                    # Asked first: what has no outcome after a yes will have none.
                    settled = all_settled(self._source_url, self._end, self._subscriber)
                    missing = self._still(missing)
                    progress.update(task, completed=total - len(missing))
                    if missing and not self._console.is_terminal and time.monotonic() >= next_line:
                        self._console.print(f"{len(missing)} of {total} rows are on their way", soft_wrap=True)
                        next_line = time.monotonic() + PLAIN_LINE_EVERY_S
                    self._patience.see(len(missing))
                    if settled or self._patience.lost:
                        break
                    if missing:
                        self._pause(POLL_INTERVAL_S)
        except KeyboardInterrupt:
            self._console.print("Not waiting any longer.")
        self.account = take_account(self._source_url, self._target_url, self._end.last_id, settled)
        self.stalled = bool(self.account.waiting) and self._patience.lost

    @property
    def stall(self) -> str:
        """What to say of a stall."""
        return f"{len(self.account.waiting)} rows wait and none of them has arrived for {STALL_S:g} s"

    def _missing(self) -> list[int]:
        return list(take_account(self._source_url, self._target_url, self._end.last_id).waiting)

    def _still(self, missing: list[int]) -> list[int]:
        try:
            return without_outcome(self._target_url, missing)
        except psycopg2.OperationalError:
            # Away for a moment; patience has an end.
            return missing
