"""When an alarm is raised and when it ends, on the tables of the running stack."""

from dataclasses import replace

import pytest

from common.postgres import connect
from dashboard_stream.drift.reference import NoReference
from tests.integration.dashboard_stream.drift.conftest import EVERY, WINDOW, Target, clean, drifted, insert, reference


def test_clean_predictions_are_checked_by_count_and_raise_no_alarm(target: Target) -> None:
    target.watch(clean(1, WINDOW - 1))
    assert target.checks() == []
    target.watch(clean(WINDOW, 12))
    for detector in ("confidence", "accuracy", "mmd"):
        assert target.checks(detector) == [(1, 20, False), (6, 25, False), (11, 30, False)]
    assert target.alarms() == []


def test_one_alarm_an_episode_with_its_evidence(target: Target) -> None:
    target.watch([*clean(1, 20), *drifted(21, 20)])
    assert [alarm for *_, alarm in target.checks()] == [False, True, True, True, True]
    assert target.alarms() == [("confidence", "7", 25, None), ("accuracy", "7", 35, None)]
    ((score, threshold, evidence),) = target.query(
        "select score, threshold, evidence from drift_alarm where detector = 'confidence'"
    )
    assert score == pytest.approx((15 * 0.05 + 5 * 0.5) / 20)
    assert isinstance(threshold, float)
    assert threshold < 0.1625
    assert isinstance(evidence, dict)
    assert {image["id"] for image in evidence["images"][:5]} == {21, 22, 23, 24, 25}
    assert evidence["images"][0].keys() == {"id", "dataset", "image_path", "target", "label", "confidence"}
    assert evidence["predicted_classes"] == {"1": 20}


def test_an_episode_ends_when_a_whole_window_is_calm_and_another_may_begin(target: Target) -> None:
    target.watch([*clean(1, 20), *drifted(21, 20), *clean(41, 30)])
    assert target.alarms()[0] == ("confidence", "7", 25, None), "15 calm predictions are no whole window"
    target.watch(clean(71, 5))
    assert {reason for *_, reason in target.alarms()} == {"back to normal for a whole window"}
    target.watch(drifted(76, 20))
    assert [alarm[0] for alarm in target.alarms()].count("confidence") == 2


def test_a_score_that_swings_about_the_threshold_is_one_episode(target: Target) -> None:
    target.watch([*clean(1, 20), *drifted(21, 20)])
    for start in range(41, 121, 20):
        # Two of twenty: below the threshold, and nearer to it than to the reference.
        target.watch([*clean(start, 18), *drifted(start + 18, 2)])
    assert not any(alarm for *_, alarm in target.checks()[-10:])
    assert [alarm for alarm in target.alarms() if alarm[0] == "confidence"] == [("confidence", "7", 25, None)]


def test_an_episode_ends_when_another_version_serves_and_its_window_begins_anew(target: Target) -> None:
    target.watch([*clean(1, 20), *drifted(21, 20)])
    target.references.answer = reference("8")
    target.watch(drifted(41, WINDOW - 1, "8"))
    assert {reason for *_, reason in target.alarms()} == {"version 8 serves"}
    assert target.checks()[-1][1] == 40
    target.watch(drifted(60, 1, "8"))
    assert target.checks()[-1] == (41, 60, True)
    assert target.alarms()[-1][1:] == ("8", 60, None)


@pytest.mark.parametrize("restart_every", [1, 3, 7])
def test_restarts_and_polls_change_nothing(target: Target, restart_every: int) -> None:
    rows = [*clean(1, 30), *drifted(31, 30), *clean(61, 60), *drifted(121, 30)]
    for number, row in enumerate(rows):
        target.watch([row])
        if number % restart_every == 0:
            target.restart()
    assert [last for _, last, _ in target.checks()] == list(range(WINDOW, 151, EVERY))
    assert [(d, last) for d, _, last, _ in target.alarms() if d == "confidence"] == [
        ("confidence", 35),
        ("confidence", 125),
    ]


def test_rows_that_are_stored_late_are_counted_once(target: Target) -> None:
    """Two subscribers: what was predicted first is stored last, and one batch has one time."""
    rows = clean(1, 45)
    rows[20:40] = [replace(row, predicted_at=rows[20].predicted_at) for row in rows[20:40]]
    target.watch(rows[:20])
    other = connect(target.url, "other")
    with other.cursor() as cursor:
        insert(cursor, [*rows[20:24], *rows[30:34]])
        target.watch([*rows[24:30], *rows[34:40]])
        assert [last for _, last, _ in target.checks()] == [20, 29, 38]
        other.commit()
    other.close()
    target.watch()
    assert [last for _, last, _ in target.checks()] == [20, 29, 38, 23, 34]
    target.restart()
    target.watch(rows[40:])
    assert [last for _, last, _ in target.checks()] == [20, 29, 38, 23, 34, 45]


def test_the_first_start_does_not_judge_history(target: Target) -> None:
    target.insert(drifted(1, 200))
    target.restart()
    target.watch()
    assert [last for _, last, _ in target.checks()] == [185, 190, 195, 200]


def test_without_a_reference_scores_are_shown_and_nothing_alarms(target: Target) -> None:
    target.references.answer = NoReference("the model brings none")
    target.watch(drifted(1, 30))
    assert target.query("select distinct detector, threshold from drift order by 1") == [
        ("accuracy", None),
        ("confidence", None),
    ]
    assert target.alarms() == []
    ready, detail = target.health.ready()
    assert ready, "nobody could mend it by waiting"
    assert detail["notes"]["reference"].startswith("the model brings none")
    target.references.answer = reference()
    target.now = 60
    target.watch(drifted(31, 5))
    assert target.alarms() == [("confidence", "7", 35, None), ("accuracy", "7", 35, None)]
    assert target.health.ready()[1] == {"missing": {}}


def test_the_reference_of_another_version_is_not_used(target: Target) -> None:
    target.references.answer = reference("8")
    target.watch(drifted(1, 30))
    assert target.alarms() == []
