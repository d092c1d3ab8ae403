"""Holding back: the estimate of what is open, and asking a subscriber that may answer anything or nothing."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.health.server import serve_health
from common.health.state import Health
from common.waiting import wait_until
from data_generate.streaming.back_pressure import BackPressure, OpenRows, Reading, SubscriberUnavailable, ask_subscriber

EVENTS = st.lists(
    st.tuples(st.sampled_from(["write", "other", "arrive", "settle", "read"]), st.integers(0, 50)), max_size=200
)


class Topic:
    """What is really so: rows on their way to the topic, in it, and settled."""

    def __init__(self, in_topic: int, settled: int) -> None:
        self.coming, self.in_topic, self.settled = 0, in_topic, settled

    def apply(self, event: str, count: int) -> None:
        if event in {"write", "other"}:
            self.coming += count
        elif event == "arrive":
            moved = min(count, self.coming)
            self.coming, self.in_topic = self.coming - moved, self.in_topic + moved
        elif event == "settle":
            moved = min(count, self.in_topic)
            self.in_topic, self.settled = self.in_topic - moved, self.settled + moved

    def reading(self) -> Reading:
        return Reading(settled=self.settled, open=self.in_topic)


@given(EVENTS, st.integers(0, 100), st.integers(0, 1000))
def test_the_estimate_is_never_too_high_and_never_below_what_waits_in_the_topic(
    events: list[tuple[str, int]], in_topic: int, settled: int
) -> None:
    topic, rows = Topic(in_topic, settled), OpenRows()
    for event, count in [*events, ("read", 0)]:
        topic.apply(event, count)
        if event == "write":
            rows.writes(count)
        if event == "read":
            rows.read(topic.reading())
            assert topic.in_topic <= rows.count() <= topic.in_topic + topic.coming


@given(EVENTS)
def test_alone_on_a_new_topic_the_estimate_is_exact(events: list[tuple[str, int]]) -> None:
    topic, rows = Topic(0, 0), OpenRows()
    for event, count in [(each, n) for each, n in events if each != "other"]:
        topic.apply(event, count)
        if event == "write":
            rows.writes(count)
        if event == "read":
            rows.read(topic.reading())
            assert rows.count() == topic.coming + topic.in_topic


def test_without_answers_every_row_counts() -> None:
    rows = OpenRows()
    rows.read(Reading(settled=1000, open=3))
    for _ in range(4):
        rows.writes(50)
    assert rows.count() == 203


def test_a_topic_that_was_made_anew_leaves_nothing_open_for_ever() -> None:
    rows = OpenRows()
    rows.read(Reading(settled=1000, open=0))
    rows.writes(500)
    rows.read(Reading(settled=1000, open=0))
    assert rows.count() == 500
    rows.read(Reading(settled=4, open=2))
    assert rows.count() == 2


class Subscriber:
    """Answers `/stream` as it is told to."""

    def __init__(self) -> None:
        self.good, self.answer, self.asked = True, dict[str, Any](settled=0, open=0), 0
        self._server = serve_health(Health(), "127.0.0.1", 0, {"/stream": self._stream})
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def _stream(self) -> tuple[bool, dict[str, Any]]:
        self.asked += 1
        return self.good, self.answer

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    subscriber = Subscriber()
    yield subscriber
    subscriber.close()


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_it_holds_back_at_the_limit_and_goes_on_below_it(subscriber: Subscriber, stop: threading.Event) -> None:
    health = Health()
    subscriber.answer = {"settled": 40, "open": 0}
    pressure = BackPressure(subscriber.url, 10, health, stop)
    pressure.start(0)
    assert (pressure.available_rows(), subscriber.asked) == (10, 1), "asked before the first row"
    pressure.writes(12)
    assert pressure.available_rows() == 0
    ready, detail = health.ready()
    assert ready
    assert detail["notes"] == {"held back": "12 rows are open, at most 10; they are being processed"}
    subscriber.answer = {"settled": 45, "open": 2}
    wait_until(lambda: pressure.available_rows() == 3, "room for three", timeout_s=20)
    assert "held back" in health.ready()[1]["notes"], "it would come and go"
    subscriber.answer = {"settled": 52, "open": 0}
    wait_until(lambda: pressure.available_rows() == 10, "room for all", timeout_s=20)
    assert "notes" not in health.ready()[1]


def test_a_subscriber_that_does_not_know_lets_at_most_the_limit_go(
    subscriber: Subscriber, stop: threading.Event
) -> None:
    health = Health()
    subscriber.good, subscriber.answer = False, {"reason": "no broker listens"}
    pressure = BackPressure(subscriber.url, 10, health, stop)
    pressure.start(0)
    wait_until(lambda: pressure.available_rows() == 10 and subscriber.asked > 1, "asked twice", timeout_s=20)
    pressure.writes(10)
    wait_until(lambda: pressure.available_rows() == 0 and "notes" in health.ready()[1], "a note", timeout_s=20)
    assert "no broker listens" in health.ready()[1]["notes"]["held back"]
    subscriber.good, subscriber.answer = True, {"settled": 10, "open": 0}
    wait_until(lambda: pressure.available_rows() == 10, "room again", timeout_s=20)


def test_a_bulk_load_counts(subscriber: Subscriber, stop: threading.Event) -> None:
    pressure = BackPressure(subscriber.url, 200, Health(), stop)
    pressure.start(600)
    assert pressure.available_rows() == 0
    wait_until(lambda: pressure.available_rows() == 0 and subscriber.asked > 1, "asked twice", timeout_s=20)
    subscriber.answer = {"settled": 500, "open": 30}
    wait_until(lambda: pressure.available_rows() == 100, "most of it is settled", timeout_s=20)


@pytest.mark.parametrize("answer", [{"settled": -1, "open": 0}, {"settled": "many", "open": 0}, {"open": 0}])
def test_an_answer_that_makes_no_sense_is_none(subscriber: Subscriber, answer: dict[str, Any]) -> None:
    subscriber.answer = answer
    with pytest.raises(SubscriberUnavailable, match="Is it the subscriber's address"):
        ask_subscriber(f"{subscriber.url}stream")


def test_what_is_not_there_is_away(subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy of the environment would be asked for an address inside the stack.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert ask_subscriber(f"{subscriber.url}stream") == Reading(settled=0, open=0)
    with pytest.raises(SubscriberUnavailable, match="404"):
        ask_subscriber(f"{subscriber.url}elsewhere")
    with pytest.raises(SubscriberUnavailable, match="refused"):
        ask_subscriber("http://127.0.0.1:1/stream")
