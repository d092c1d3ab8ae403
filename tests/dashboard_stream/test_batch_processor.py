"""What the processor does when things are away: the API is scripted over HTTP, the rest stands behind its protocols."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import pytest

from common.broker_address import BrokerUnavailable
from common.health.state import Health
from common.rows import CargoRow
from common.waiting import JITTER_S, Stopped
from dashboard_stream.clients.target_database import DatabaseUnavailable
from dashboard_stream.subscriber.batch_processor import Processor
from dashboard_stream.subscriber.batches import Batch
from dashboard_stream.subscriber.messages import Partition, SourcePosition
from dashboard_stream.subscriber.outcomes import DeadLetter, Outcomes, Prediction, SamePicture
from dashboard_stream.subscriber.prediction_store import RowsRefused
from tests.dashboard_stream.conftest import Answer, MakeApi, MakeMessage, prediction

FIRST, SECOND = Partition("rows", 0), Partition("rows", 1)


@dataclass
class Store:
    """Remembers what it is told; fails as scripted first."""

    failures: list[Exception] = field(default_factory=list)
    known: set[int] = field(default_factory=set)
    predicted_before: set[int] = field(default_factory=set)
    same_pictures: list[SamePicture] = field(default_factory=list)
    predicted: list[Prediction] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)

    def filter_new(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        return [letter for letter in letters if letter.message.offset not in self.known]

    def filter_known(self, rows: Sequence[tuple[CargoRow, SourcePosition | None]]) -> set[int]:
        return {row.id for row, _ in rows} & self.predicted_before

    def write(self, outcomes: Outcomes) -> set[int]:
        if self.failures:
            raise self.failures.pop(0)
        self.predicted.extend(outcomes.predictions)
        self.same_pictures.extend(outcomes.same_pictures)
        self.letters.extend(outcomes.dead_letters)
        return {prediction.row.id for prediction in outcomes.predictions}


@dataclass
class Topic:
    failures: list[Exception] = field(default_factory=list)
    produced: list[DeadLetter] = field(default_factory=list)

    def produce(self, letters: Sequence[DeadLetter]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.produced.extend(letters)


@dataclass
class PausableConsumer:
    """Keeps all partitions but `lost`, and waits without taking time."""

    lost: set[Partition] = field(default_factory=set)
    failure: Exception | None = None
    waits_s: list[float] = field(default_factory=list)
    stop_after: int = 100
    stop: threading.Event = field(default_factory=threading.Event)

    def pause_for(self, seconds: float, first: dict[Partition, int], following: dict[Partition, int]) -> set[Partition]:
        self.waits_s.append(seconds)
        if len(self.waits_s) >= self.stop_after:
            self.stop.set()
        if self.failure:
            raise self.failure
        return set(following) - self.lost


class ProcessorHarness:
    """A processor and everything around it."""

    def __init__(self, make_api: MakeApi) -> None:
        self.store, self.topic, self.place, self.health = Store(), Topic(), PausableConsumer(), Health()
        self.answers: list[Answer] = []
        self.requests: list[list[str]] = []

        def answer(items: list[dict[str, str]]) -> httpx.Response:
            self.requests.append([item["image_path"] for item in items])
            if self.answers:
                return self.answers.pop(0)(items)
            return httpx.Response(200, json={"results": [prediction(item) for item in items]})

        self.processor = Processor(make_api(answer), self.store, self.topic, self.place, self.health, self.place.stop)

    def outcomes(self) -> tuple[list[int], list[int | None]]:
        return [p.row.id for p in self.store.predicted], [letter.id for letter in self.store.letters]


@pytest.fixture
def world(make_api: MakeApi) -> ProcessorHarness:
    return ProcessorHarness(make_api)


def unavailable(items: list[dict[str, str]]) -> httpx.Response:
    return httpx.Response(503, json={"type": "x", "title": "No model", "status": 503, "detail": "wait"})


def test_everything_there(world: ProcessorHarness, message: MakeMessage) -> None:
    world.processor.process(Batch([message(1), message(2, 1)]))
    assert world.outcomes() == ([1, 2], [])
    assert world.place.waits_s == []


def test_a_picture_with_a_prediction_does_not_go_through_the_model(
    world: ProcessorHarness, message: MakeMessage
) -> None:
    world.store.predicted_before = {1}
    world.processor.process(Batch([message(1, committed_us=5, target=3), message(2, 1)]))
    assert world.requests == [["wood/2.jpg"]]
    assert world.outcomes() == ([2], [])
    (known,) = world.store.same_pictures
    assert (known.row.target, known.position) == (3, message(1, committed_us=5).position())


def test_the_api_is_waited_for_with_growing_pauses(world: ProcessorHarness, message: MakeMessage) -> None:
    world.answers = [unavailable] * 8
    world.processor.process(Batch([message(1)]))
    assert world.outcomes() == ([1], [])
    for wait_s, least_s in zip(world.place.waits_s, [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0], strict=True):
        assert least_s <= wait_s <= least_s + JITTER_S
    assert world.health.ready()[0]


def test_only_postponed_rows_are_asked_again(world: ProcessorHarness, message: MakeMessage) -> None:
    def second_later(items: list[dict[str, str]]) -> httpx.Response:
        busy = {"type": "x", "title": "Busy", "status": 429, "detail": ""}
        return httpx.Response(200, json={"results": [prediction(items[0]), busy]})

    world.answers = [second_later]
    world.processor.process(Batch([message(1), message(2, 1)]))
    assert world.requests == [["wood/1.jpg", "wood/2.jpg"], ["wood/2.jpg"]]
    assert world.outcomes() == ([1, 2], [])


def test_a_partition_taken_away_meanwhile_is_dropped(world: ProcessorHarness, message: MakeMessage) -> None:
    world.answers = [unavailable]
    world.place.lost = {SECOND}
    batch = Batch([message(1), message(2, 5, partition=1)])
    world.processor.process(batch)
    assert world.outcomes() == ([1], [])
    assert batch.next_offsets() == {FIRST: 1}


def test_losing_the_consumer_drops_the_batch(world: ProcessorHarness, message: MakeMessage) -> None:
    world.answers = [unavailable]
    world.place.failure = BrokerUnavailable("gone")
    batch = Batch([message(1)])
    world.processor.process(batch)
    assert world.outcomes() == ([], [])
    assert batch.next_offsets() == {}
    assert len(world.requests) == 1


def test_nothing_is_asked_of_anyone_for_a_batch_that_is_lost(world: ProcessorHarness, message: MakeMessage) -> None:
    world.store.failures = [DatabaseUnavailable("restarting")] * 2
    world.place.lost = {FIRST}
    world.processor.process(Batch([message(1)]))
    assert len(world.store.failures) == 1


def test_the_database_is_waited_for_without_predicting_again(world: ProcessorHarness, message: MakeMessage) -> None:
    world.store.failures = [DatabaseUnavailable("restarting"), DatabaseUnavailable("restarting")]
    world.processor.process(Batch([message(1)]))
    assert world.outcomes() == ([1], [])
    assert len(world.requests) == 1


def test_a_row_that_the_database_refuses_blocks_nobody(world: ProcessorHarness, message: MakeMessage) -> None:
    world.store.failures = [RowsRefused({2: "out of range"})]
    world.processor.process(Batch([message(1), message(2, 1)]))
    assert world.outcomes() == ([1], [2])
    assert [(letter.id, letter.reason) for letter in world.topic.produced] == [(2, "out of range")]


def test_dead_letters_reach_the_topic_before_the_database(world: ProcessorHarness, message: MakeMessage) -> None:
    world.topic.failures = [BrokerUnavailable("gone")]
    world.processor.process(Batch([message(1), message(7, 1, image_path="")]))
    assert world.outcomes() == ([1], [7])
    assert len(world.topic.produced) == 1
    assert len(world.requests) == 1


def test_a_known_dead_letter_is_not_produced_again(world: ProcessorHarness, message: MakeMessage) -> None:
    world.store.known = {1}
    world.processor.process(Batch([message(1), message(7, 1, image_path="")]))
    assert world.topic.produced == []
    assert world.outcomes() == ([1], [])


def test_stop_while_waiting_leaves_the_batch(world: ProcessorHarness, message: MakeMessage) -> None:
    world.answers = [unavailable] * 10
    world.place.stop_after = 3
    with pytest.raises(Stopped):
        world.processor.process(Batch([message(1)]))
    assert world.outcomes() == ([], [])


def test_stop_during_a_call_does_not_wait_for_it(world: ProcessorHarness, message: MakeMessage) -> None:
    called, release = threading.Event(), threading.Event()

    def hang(items: list[dict[str, str]]) -> httpx.Response:
        called.set()
        release.wait(30)
        return unavailable(items)

    world.answers = [hang]

    def stop_when_called() -> None:
        assert called.wait(30)
        world.place.stop.set()

    stopper = threading.Thread(target=stop_when_called)
    stopper.start()
    with pytest.raises(Stopped):
        world.processor.process(Batch([message(1)]))
    assert not release.is_set()
    release.set()
    stopper.join()
    assert world.outcomes() == ([], [])
