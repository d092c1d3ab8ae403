import math

from hypothesis import given
from hypothesis import strategies as st

from data_generate.streaming.pacing import MAX_BACKLOG_S, Pace


def test_one_row_a_second() -> None:
    pace = Pace(1.0)
    assert pace.due(0) == 1
    pace.take(1)
    assert pace.due(0.999) == 0
    assert math.isclose(pace.wait_s(0.75), 0.25)
    assert pace.due(1.0) == 1


@given(
    rate=st.floats(0.1, 5000),
    steps_s=st.lists(st.floats(0.0005, 0.5), min_size=1, max_size=300),
)
def test_no_drift_whatever_the_steps(rate: float, steps_s: list[float]) -> None:
    pace, elapsed_s, taken = Pace(rate), 0.0, 0
    for step_s in steps_s:
        elapsed_s += step_s
        due = pace.due(elapsed_s)
        pace.take(due)
        taken += due
        assert abs(taken - (elapsed_s * rate + 1)) <= 1 + 1e-6 * taken


def test_short_stall_is_caught_up_and_a_long_one_forgiven() -> None:
    pace = Pace(100.0)
    pace.take(pace.due(0))
    assert pace.due(MAX_BACKLOG_S) == MAX_BACKLOG_S * 100
    assert pace.due(MAX_BACKLOG_S + 60) == 1


def test_waiting_as_told_makes_a_row_due() -> None:
    pace = Pace(3.0)
    elapsed_s = 0.0
    for _ in range(10_000):
        assert pace.due(elapsed_s) == 1
        pace.take(1)
        elapsed_s += pace.wait_s(elapsed_s)
    assert math.isclose(elapsed_s, 10_000 / 3, rel_tol=1e-9)


@given(
    steps=st.lists(
        st.tuples(st.floats(0.0005, 0.5), st.one_of(st.none(), st.floats(0.1, 5000))), min_size=1, max_size=300
    )
)
def test_no_drift_however_often_the_rate_changes(steps: list[tuple[float, float | None]]) -> None:
    rate = 10.0
    pace, elapsed_s, expected, taken = Pace(rate), 0.0, 1.0, 0
    for step_s, changed in steps:
        elapsed_s += step_s
        expected += step_s * rate
        due = pace.due(elapsed_s)
        pace.take(due)
        taken += due
        assert abs(taken - expected) <= 1 + 1e-6 * taken
        if changed is not None:
            rate = changed
            pace.change(rate, elapsed_s)


def test_a_slow_pace_does_not_delay_a_fast_one() -> None:
    pace = Pace(0.001)
    pace.take(pace.due(0))
    pace.change(100.0, 500.0)
    assert pace.wait_s(500.0) <= 0.01
    assert math.isclose(pace.wait_s(500.0), 0.005)


def test_what_is_overdue_at_a_high_rate_is_no_flood_at_a_low_one() -> None:
    pace = Pace(1000.0)
    pace.take(pace.due(0))
    pace.change(1.0, 1.5)
    assert pace.due(1.5) == 1


def test_a_restart_forgets_what_was_missed() -> None:
    pace = Pace(10.0)
    pace.take(pace.due(0))
    pace.restart(1.0)
    assert pace.due(1.0) == 1
    pace.take(1)
    assert math.isclose(pace.wait_s(1.0), 0.1)
