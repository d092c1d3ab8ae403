"""The budget of restarts, by its own clock."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from connect_reconciler.restarts import LONGEST_PAUSE_S, SETTLED_AFTER_S, RestartBudget


@given(st.integers(1, 8), st.floats(1, 500), st.lists(st.floats(0, 20), max_size=200))
def test_no_window_ever_holds_more_than_the_limit(limit: int, window_s: float, steps: list[float]) -> None:
    budget, now, restarts = RestartBudget(limit, window_s), 0.0, []
    for step in steps:
        now += step
        if budget.may_restart(now):
            budget.restarted(now)
            restarts.append(now)
    for start in restarts:
        assert sum(start <= each < start + window_s for each in restarts) <= limit


def _pauses(budget: RestartBudget, seconds: int) -> list[int]:
    times = []
    for now in range(seconds):
        if budget.may_restart(now):
            budget.restarted(now)
            times.append(now)
    return [later - earlier for earlier, later in pairwise(times)]


def test_pauses_double_up_to_the_longest() -> None:
    assert _pauses(RestartBudget(100, 1000), 130) == [1, 2, 4, 8, 16, 30, 30, 30]
    assert LONGEST_PAUSE_S == 30


def test_only_running_without_a_break_settles() -> None:
    budget = RestartBudget(100, 1000)
    for now in (0, 1, 3, 7):
        budget.restarted(now)
    budget.seen_running(10)
    budget.seen_down()
    budget.seen_running(10 + SETTLED_AFTER_S)
    assert not budget.may_restart(14.9), "the pause of 8 s since the last restart is not over"
    budget.restarted(50)
    assert not budget.may_restart(65), "running was interrupted, so the pause is 16 s by now"
    budget.seen_running(70)
    budget.seen_running(70 + SETTLED_AFTER_S)
    budget.restarted(101)
    assert budget.may_restart(102), "settled in between: the pause is 1 s again"


def test_progress_makes_room_at_once() -> None:
    budget = RestartBudget(2, 1000)
    budget.restarted(0)
    budget.restarted(1)
    assert budget.exhausted(2)
    budget.progressed()
    assert budget.may_restart(2)
