"""What the demo makes of figures: its account, its patience, its commands. That it comes true is shown end to end."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from rich.console import Console

from local_stack.demonstration import drain as draining
from local_stack.demonstration.drain import Drain
from local_stack.demonstration.tables import account_lines
from local_stack.inspection import machine
from local_stack.inspection.account import Account, SourceEnd
from local_stack.stall_detection import STALL_S, StallDetector


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def test_an_account_has_a_word_of_its_own_for_each_kind_of_row() -> None:
    good = Account(committed=3)
    assert good.sound
    assert good.complete
    assert account_lines(good) == ["[green]every one of 3 committed rows has exactly one prediction or dead letter[/]"]
    waiting = Account(committed=3, waiting=[2])
    assert waiting.sound
    assert not waiting.complete
    assert "1 of 3 rows still wait for their outcome; none of them is lost[/]: ids 2" in account_lines(waiting)[0]
    assert "make up-local" in account_lines(waiting)[-1]
    bad = Account(committed=30, lost=[2], duplicated=list(range(3, 23)))
    assert not bad.sound
    text = " ".join(account_lines(bad))
    assert "1 of 30 rows are LOST" in text
    assert "20 of 30 rows are DUPLICATED" in text
    assert "ids 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, …" in text
    assert "make doctor" in text


def test_patience_is_lost_when_nothing_moves_and_not_before() -> None:
    clock = Clock()
    patience = StallDetector(clock)
    for step in range(100):
        patience.see(("collecting", step))
        clock.wait(STALL_S - 1)
        assert not patience.lost, "slow, but it moves"
    patience.see(("collecting", 99))
    clock.wait(1)
    assert patience.lost


class Rows:
    """Rows 1 to `committed`, of which some arrive at each look."""

    def __init__(self, committed: int, arriving: Iterator[int], settled: bool = False) -> None:
        self.committed, self.arriving, self.settled = committed, arriving, settled
        self.missing = list(range(1, committed + 1))

    def take_account(self, source: str, target: str, last_id: int, settled: bool = False) -> Account:
        return Account(self.committed, () if settled else self.missing, self.missing if settled else ())

    def without_outcome(self, target: str, ids: list[int]) -> list[int]:
        del self.missing[: next(self.arriving, 0)]
        return list(self.missing)

    def all_settled(self, *_: object) -> bool:
        return self.settled


@pytest.fixture
def drain_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(rows: Rows) -> Drain:
        for name in ("take_account", "without_outcome", "all_settled"):
            monkeypatch.setattr(draining, name, getattr(rows, name))
        clock = Clock()
        console = Console(quiet=True)
        return Drain(
            ("", ""), SourceEnd(rows.committed, "0/0"), httpx.Client(), console, clock.wait, StallDetector(clock)
        )

    return make


def test_slow_rows_are_waited_for_however_long(drain_of: Any) -> None:
    # One row in every 50 seconds: an hour in all.
    drain = drain_of(Rows(70, (int(look % 50 == 0) for look in range(10_000))))
    drain.run()
    assert drain.account.complete
    assert not drain.stalled


def test_rows_that_no_longer_arrive_wait_and_are_not_called_lost(drain_of: Any) -> None:
    drain = drain_of(Rows(5, iter([1, 1])))
    drain.run()
    assert drain.account.sound
    assert list(drain.account.waiting) == [3, 4, 5]
    assert drain.stalled
    assert "3 rows wait and none of them has arrived for 60 s" in drain.stall


def test_rows_without_an_outcome_after_the_chain_has_finished_are_lost(drain_of: Any) -> None:
    drain = drain_of(Rows(5, iter([1, 1]), settled=True))
    drain.run()
    assert list(drain.account.lost) == [2, 3, 4, 5]
    assert not drain.account.sound
    assert not drain.stalled


def test_who_no_longer_wants_to_wait_gets_the_account_as_it_is(drain_of: Any) -> None:
    def arriving() -> Iterator[int]:
        yield 2
        raise KeyboardInterrupt

    drain = drain_of(Rows(5, arriving()))
    drain.run()
    assert list(drain.account.waiting) == [3, 4, 5]
    assert drain.account.sound
    assert not drain.stalled


@pytest.mark.parametrize(("measured", "rate"), [(1000, 40), (60, 36), (12.5, 7), (0.5, 1)])
def test_the_stream_asks_for_what_the_machine_carries(measured: float, rate: float) -> None:
    assert machine.stream_rate(measured) == rate
    assert machine.stream_rate(measured, most=10) == min(rate, 10)
    assert f"predicts about {measured:.0f} images a second; the demo streams {rate:g}" in machine.verdict(measured)


def test_the_machine_is_measured_by_what_is_answered() -> None:
    clock = Clock()

    def answer(request: httpx.Request) -> httpx.Response:
        clock.wait(0.5)
        count = len(request.read().decode().split("image_path")) - 1
        return httpx.Response(200, json={"results": [{"target": 1}] * (count - 1) + [{"status": 404}]})

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://api") as client:
        assert machine.images_per_second(client, ["a/b.jpg"] * 96, 3, clock) == pytest.approx(31 / 0.5)
        with pytest.raises(machine.NotMeasured, match="none of the images"):
            machine.images_per_second(client, ["a/b.jpg"], 3, clock)
        with pytest.raises(machine.NotMeasured, match="no images"):
            machine.images_per_second(client, [], 3, clock)


def test_an_api_that_is_away_is_said() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with (
        httpx.Client(transport=httpx.MockTransport(refuse), base_url="http://api") as client,
        pytest.raises(machine.NotMeasured, match="the API does not answer"),
    ):
        machine.images_per_second(client, ["a/b.jpg"])
