"""The limit of restarts, by its own clock."""

from hypothesis import given
from hypothesis import strategies as st

from connect_reconciler.recovery.restarts import SETTLED_AFTER_S, RestartLimit


@given(st.integers(1, 8), st.floats(1, 500), st.lists(st.floats(0, 20), max_size=200))
def test_no_window_ever_holds_more_than_the_limit(limit: int, window_s: float, steps: list[float]) -> None:
    limiter, now, restarts = RestartLimit(limit, window_s), 0.0, []
    for step in steps:
        now += step
        if limiter.may_restart(now):
            limiter.restarted(now)
            restarts.append(now)
    for start in restarts:
        assert sum(start <= each < start + window_s for each in restarts) <= limit


def test_only_running_without_a_break_settles() -> None:
    limiter = RestartLimit(100, 1000)
    for now in (0, 1, 3, 7):
        limiter.restarted(now)
    limiter.seen_running(10)
    limiter.seen_down()
    limiter.seen_running(10 + SETTLED_AFTER_S)
    assert not limiter.may_restart(14.9), "the pause of 8 s since the last restart is not over"
    limiter.restarted(50)
    assert not limiter.may_restart(65), "running was interrupted, so the pause is 16 s by now"
    limiter.seen_running(70)
    limiter.seen_running(70 + SETTLED_AFTER_S)
    limiter.restarted(101)
    assert limiter.may_restart(102), "settled in between: the pause is 1 s again"


def test_progress_makes_room_at_once() -> None:
    limiter = RestartLimit(2, 1000)
    limiter.restarted(0)
    limiter.restarted(1)
    assert limiter.exhausted(2)
    limiter.reset()
    assert limiter.may_restart(2)
