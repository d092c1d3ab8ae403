"""When a score is an alarm, and when it ends one."""

import pytest

from dashboard_stream.drift.checks import Check


@pytest.mark.parametrize(
    ("score", "alarm", "calm"), [(0.02, False, True), (0.06, False, True), (0.07, False, False), (0.11, True, False)]
)
def test_between_alarm_and_calm_nothing_changes(score: float, alarm: bool, calm: bool) -> None:
    check = Check("confidence", score, 0.02, 0.1)
    assert (check.alarm, check.calm) == (alarm, calm)


def test_without_a_reference_nothing_is_judged() -> None:
    check = Check("confidence", 0.9, None, None)
    assert (check.alarm, check.calm) == (False, False)
