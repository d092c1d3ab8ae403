"""When an alarm is raised and when it ends, on the tables of the running stack."""

from dataclasses import replace
from datetime import timedelta

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


def test_an_episode_ends_when_a_whole_window_was_anothers(target: Target) -> None:
    target.watch([*clean(1, 20), *drifted(21, 20)])
    target.references.answer = reference("8")
    target.watch(drifted(41, WINDOW - 1, "8"))
    assert {reason for *_, reason in target.alarms()} == {None}, "some may still answer as before"
    assert target.checks()[-1][1] == 40
    target.watch(drifted(60, 1, "8"))
    assert {reason for _, version, *_, reason in target.alarms() if version == "7"} == {"version 8 serves"}
    assert target.checks()[-1] == (41, 60, True)
    assert target.alarms()[-1][1:] == ("8", 60, None)


def test_two_versions_side_by_side_have_a_window_each(target: Target) -> None:
    """API replicas in the middle of a swap; a late row of the old version ends nothing."""
    rows = [row for n in range(1, 81, 2) for row in (*clean(n, 1), *drifted(n + 1, 1, "8"))]
    target.watch(rows)
    by_version = target.query(
        "select model_version, count(*), count(*) filter (where alarm) from drift where detector = 'confidence'"
        " group by 1 order by 1"
    )
    assert by_version == [("7", 5, 0), ("8", 5, 0)], "the API gives a reference of 7 only"
    target.references.answer = reference("8")
    target.now = 60
    target.watch([*drifted(81, 10, "8"), *clean(91, 1), *drifted(92, 10, "8")])
    assert [(version, reason) for detector, version, _, reason in target.alarms() if detector == "confidence"] == [
        ("8", None)
    ]
    target.restart()
    target.watch([*clean(102, 1), *drifted(103, 10, "8")])
    assert len([1 for detector, *_ in target.alarms() if detector == "confidence"]) == 1


def test_labels_that_come_late_are_counted_when_they_come(target: Target) -> None:
    rows = [replace(row, label=None) for row in clean(1, 60)]
    target.watch(rows)
    assert target.checks("accuracy") == []
    target.label({number: 1 - rows[number - 1].target for number in range(1, 11)})
    target.watch()
    assert target.checks("accuracy") == []
    target.label({number: 1 - rows[number - 1].target for number in range(11, 31)})
    target.watch()
    assert target.checks("accuracy") == [(1, 20, True), (6, 25, True), (11, 30, True)]
    assert target.alarms() == [("accuracy", "7", 20, None)]
    target.restart()
    target.label({number: rows[number - 1].target for number in range(11, 41)})
    target.watch()
    assert [last for _, last, _ in target.checks("accuracy")][-1] == 40, "a corrected label counts as a new one"
    assert [last for _, last, _ in target.checks()] == list(range(20, 61, 5)), "predictions are counted once"


def test_labels_of_a_version_that_answers_no_more_raise_nothing(target: Target) -> None:
    rows = [replace(row, label=None) for row in clean(1, 40)]
    target.watch(rows)
    target.references.answer = reference("8")
    target.watch(clean(41, WINDOW, "8"))
    assert target.health.ready()[1] == {"missing": {}}
    target.label({row.id: 1 - row.target for row in rows})
    target.watch()
    assert [alarm for *_, alarm in target.checks("accuracy")][-4:] == [False] * 4
    assert target.alarms() == []
    assert target.health.ready()[1] == {"missing": {}}


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


def test_a_transaction_that_is_still_open_is_waited_for(target: Target) -> None:
    """Two subscribers: who began first may commit last. Nothing is counted twice or left out."""
    target.watch(clean(1, 20))
    other = connect(target.url, "other")
    with other.cursor() as cursor:
        insert(cursor, clean(21, 4))
        target.watch(clean(25, 16), settle=False)
        assert [last for _, last, _ in target.checks()] == [20]
        assert target.health.ready()[1] == {"missing": {}}
        target.now = 31
        target.watch(settle=False)
        assert "still open" in target.health.ready()[1]["notes"]["counting"]
        other.commit()
    other.close()
    target.watch()
    assert target.checks() == [(1, 20, False), *[(n - 19, n, False) for n in range(25, 41, EVERY)]]
    assert target.health.ready()[1] == {"missing": {}}


def test_a_clock_that_is_ahead_silences_nothing(target: Target) -> None:
    rows = [*clean(1, 20), *drifted(21, 20)]
    rows[3] = replace(rows[3], predicted_at=rows[3].predicted_at + timedelta(hours=1))
    target.watch(rows)
    assert target.alarms() == [("confidence", "7", 25, None), ("accuracy", "7", 35, None)]


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
