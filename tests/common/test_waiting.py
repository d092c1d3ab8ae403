"""When waiting ends, and how long the pauses are."""

import logging
import threading

import pytest

from common.cli import UserError
from common.health.state import Health
from common.waiting import (
    FIRST_PAUSE_S,
    JITTER_S,
    RetrySchedule,
    Stopped,
    Unavailable,
    retry_for,
    retry_until_stopped,
    wait_until,
)

PATIENCE_S = 60.0


class ShopAway(Unavailable):
    part = "shop"


class Shop:
    """Is away as often as told, then sells."""

    def __init__(self, away: int) -> None:
        self.away, self.asked = away, 0

    def buy(self) -> str:
        self.asked += 1
        if self.asked <= self.away:
            raise ShopAway("closed")
        return "bread"


@pytest.fixture
def health() -> Health:
    return Health()


def test_waiting_ends_with_what_was_awaited() -> None:
    with pytest.raises(UserError, match=r"the moon is made of cheese: not so after 0\.05 s"):
        wait_until(lambda: False, "the moon is made of cheese", timeout_s=0.05, interval_s=0.01)
    answers = iter([0, 0, 7])
    assert wait_until(lambda: next(answers), "seven", timeout_s=5, interval_s=0.001) == 7


def test_a_bounded_retry_raises_the_last_error_in_the_end() -> None:
    shop = Shop(1000)
    with pytest.raises(ShopAway, match="closed"):
        retry_for(0.5, "it", ShopAway)(shop.buy)
    assert shop.asked >= 2


def test_a_bounded_retry_says_now_and_then_what_it_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    retry_for(PATIENCE_S, "shop", ShopAway).copy(sleep=lambda seconds: None)(Shop(45).buy)
    assert caplog.messages == ["waiting for shop: ['closed']"] * 4, "attempts 1, 5, 20 and 40"


def test_what_is_away_is_told_until_it_is_there(health: Health) -> None:
    told = []

    def pause(seconds: float) -> None:
        told.append(health.ready()[1]["missing"])

    assert retry_until_stopped(Shop(3).buy, health, threading.Event(), pause) == "bread"
    assert told == [{"shop": "closed"}] * 3


def test_after_a_success_the_pauses_are_short_again(health: Health) -> None:
    pauses: list[float] = []
    for _ in range(2):
        retry_until_stopped(Shop(3).buy, health, threading.Event(), pauses.append)
    assert pauses[2] >= 4 * FIRST_PAUSE_S
    assert FIRST_PAUSE_S <= pauses[3] <= FIRST_PAUSE_S + JITTER_S


def test_a_stop_ends_the_pause_and_no_attempt_follows(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.waiting.FIRST_PAUSE_S", 100 * PATIENCE_S)
    monkeypatch.setattr("common.waiting.LONGEST_PAUSE_S", 100 * PATIENCE_S)
    stop, shop, ended = threading.Event(), Shop(1000), threading.Event()

    def work() -> None:
        with pytest.raises(Stopped):
            retry_until_stopped(shop.buy, health, stop)
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    wait_until(lambda: "shop" in health.ready()[1]["missing"], "the first pause", PATIENCE_S, 0.01)
    stop.set()
    assert ended.wait(PATIENCE_S)
    assert shop.asked == 1


def test_any_other_error_is_raised_at_once(health: Health) -> None:
    def work() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        retry_until_stopped(work, health, threading.Event())


def test_a_schedule_doubles_its_pauses_up_to_the_longest_until_a_success() -> None:
    schedule = RetrySchedule(first_s=1, longest_s=30)
    assert [schedule.failed() for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert max(schedule.failed() for _ in range(5000)) == 30
    schedule.reset()
    assert schedule.failed() == 1
