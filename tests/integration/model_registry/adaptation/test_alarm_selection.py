"""Which alarm is answered, and when."""

import pytest

from common.cli import UserError
from common.settings import local_port
from model_registry.adaptation.adaptation_table import Alarm, Run, is_confirmed
from model_registry.adaptation.drifted_rows import read_labelled_rows
from model_registry.settings import Settings
from model_registry.versions.champion_lookup import Champion
from tests.integration.model_registry.adaptation.conftest import AlarmSelection, Row


def test_a_run_is_begun_some_seconds_before_its_alarm_is_confirmed(alarm_selection: AlarmSelection) -> None:
    assert alarm_selection.due() is None
    alarm = alarm_selection.database.insert_alarm()
    alarm_selection.database.insert_alarm("accuracy")
    assert alarm_selection.due(adapt_confirm_s=86400) is None
    assert alarm_selection.due(adapt_confirm_s=0) == alarm, "the oldest"
    alarm_selection.age("drift_alarm", "began_at", 6)
    assert alarm_selection.due() == alarm
    alarm_selection.champion = Champion("2", None)
    assert alarm_selection.due() is None, "it is about another version"
    alarm_selection.champion = Champion("1", None)
    alarm_selection.database.all("update drift_alarm set ended_at = now(), end_reason = 'over'")
    assert alarm_selection.due() is None


def test_an_alarm_lasts_or_is_over(alarm_selection: AlarmSelection) -> None:
    alarm = alarm_selection.database.insert_alarm()
    assert is_confirmed(alarm_selection.connection, alarm, 3600) is None
    assert is_confirmed(alarm_selection.connection, alarm, 0) is True
    alarm_selection.database.all("update drift_alarm set ended_at = began_at + interval '10 s', end_reason = 'over'")
    assert is_confirmed(alarm_selection.connection, alarm, 11) is False
    assert is_confirmed(alarm_selection.connection, alarm, 9) is True, "it was confirmed when it ended"


def test_the_rows_of_an_alarm_are_looked_at(alarm_selection: AlarmSelection, images: list[Row]) -> None:
    alarm = Alarm(1, "1", first_id=11)
    alarm_selection.database.insert_rows(images[:30])
    alarm_selection.database.insert_rows(images[:30], first_id=31)
    alarm_selection.database.insert_rows(images[:7], first_id=61)
    alarm_selection.database.all("update cargo_prediction set dataset = 'monday' where id in (12, 67)")
    alarm_selection.database.all("update cargo_prediction set label = null where id = 13")
    alarm_selection.database.all("update cargo_prediction set target = label where id = any(%s)", [20, 21, 22])
    alarm_selection.database.all("update cargo_prediction set target = label, model_version = '2' where id > 60")
    there = read_labelled_rows(alarm_selection.connection, alarm, at_most=100)
    paths = [image["image_path"] for image in images[:30]]
    assert [image.image_path for image in there.images] == sorted(paths)
    # Images 12 and 13 do not count in rows 12 and 13: they are new in rows 42 and 43. Rows 44 to 66 show no other.
    assert there.rows_since_new == 23
    of_version_1 = [*range(14, 61), 11]
    right = sum(images[(row - 1) % 30]["target"] == 0 or row in {20, 21, 22} for row in of_version_1)
    assert there.accuracy == pytest.approx(right / len(of_version_1))
    few = read_labelled_rows(alarm_selection.connection, alarm, at_most=5)
    assert [image.image_path for image in few.images] == sorted(paths[place] for place in (10, 13, 14, 15, 16))


def test_after_a_run_there_is_a_pause_and_never_a_second_one_for_its_alarm(alarm_selection: AlarmSelection) -> None:
    alarms = [alarm_selection.database.insert_alarm(), alarm_selection.database.insert_alarm("accuracy")]
    alarm_selection.age("drift_alarm", "began_at", 6)
    run = Run(alarm_selection.connection, alarms[0])
    run.begin("1", "balanced_margin")
    run.finish("rejected", "no better")
    with pytest.raises(UserError, match=f"alarm {alarms[0]} was answered by a run already"):
        run.begin("1", "balanced_margin")
    assert alarm_selection.due() is None
    alarm_selection.age("adaptation", "finished_at", 301)
    assert alarm_selection.due() == alarms[1]


def test_a_run_that_was_cut_off_three_times_is_given_up(alarm_selection: AlarmSelection) -> None:
    alarm = alarm_selection.database.insert_alarm()
    run = Run(alarm_selection.connection, alarm)
    for attempt in range(3):
        assert attempt == 0 or alarm_selection.due() == alarm
        run.begin("1", "balanced_margin")
        run.record_interruption("the store is away")
        alarm_selection.age("adaptation", "updated_at", 11)
    assert alarm_selection.due() is None
    given_up = alarm_selection.database.run(alarm) or {}
    assert given_up["state"] == "failed"
    assert given_up["reason"].startswith("the run was interrupted 3 times (before: the store is away)")


def test_a_run_that_lies_still_is_settled_or_tried_again(alarm_selection: AlarmSelection) -> None:
    alarm = alarm_selection.database.insert_alarm()
    run = Run(alarm_selection.connection, alarm)
    run.begin("1", "balanced_margin")
    assert alarm_selection.due() is None, "it was alive a moment ago"
    alarm_selection.age("adaptation", "updated_at", 11)
    assert alarm_selection.due() == alarm, "with no regard to a pause"
    run.judging("2")
    alarm_selection.champion = Champion("2", None)
    assert alarm_selection.due() is None
    assert (alarm_selection.database.run(alarm) or {})["state"] == "promoted", (
        "cut off between the move and the note of it"
    )


def test_the_port_is_the_documented_one() -> None:
    assert Settings().adapter_health_port == local_port(9106)
