"""What is newer in the source stays, in whatever order messages arrive; a label is no part of a prediction."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.rows import CargoRow
from dashboard_stream.subscriber.messages import Message, SourcePosition
from dashboard_stream.subscriber.outcomes import DeadLetter, Deletion, Prediction, SamePicture
from tests.dashboard_stream.conftest import position
from tests.integration.dashboard_stream.test_prediction_store import NOW, PLACE, Target, predicted, row, target

__all__ = ["target"]


def at(seconds: int, lsn: int = 0) -> SourcePosition:
    return SourcePosition(NOW + timedelta(seconds=seconds), lsn)


def prediction(cargo: CargoRow, when: SourcePosition, version: str = "1") -> Prediction:
    return replace(predicted(cargo, version), position=when)


def letter(cargo: CargoRow, when: SourcePosition) -> DeadLetter:
    headers = position(round(when.time.timestamp() * 1e6), when.lsn)
    message = Message(PLACE, when.lsn, b"key", cargo.model_dump_json().encode(), headers)
    return DeadLetter(message, cargo, cargo.id, "refused by the API", f"reason {when.lsn}")


def labels(target: Target) -> list[tuple[object, ...]]:
    return target.query(
        "select id, label, extract(epoch from label_at - timestamp)::int, model_version, predicted_at = timestamp"
        " from cargo_prediction order by id"
    )


def test_a_label_that_comes_late_or_is_corrected_leaves_the_prediction_alone(target: Target) -> None:
    target.write([prediction(row(1, target=None), at(0))])
    assert labels(target) == [(1, None, None, "1", True)]
    target.write([], same_pictures=[SamePicture(row(1, target=3), at(5))])
    assert labels(target) == [(1, 3, 5, "1", True)]
    target.write([], same_pictures=[SamePicture(row(1, target=2), at(9))])
    assert labels(target) == [(1, 2, 9, "1", True)]
    target.write([], same_pictures=[SamePicture(row(1, target=2), at(11)), SamePicture(row(1, target=3), at(5))])
    assert labels(target) == [(1, 2, 9, "1", True)], "nothing about the label is new"
    target.write([prediction(row(1, target=4), at(12), "2")])
    assert labels(target) == [(1, 4, 12, "1", True)], "asked again in vain: its picture is the same"
    target.write([], same_pictures=[SamePicture(row(1, target=None), at(13))])
    assert labels(target) == [(1, None, 13, "1", True)]


def test_which_rows_need_no_model(target: Target) -> None:
    target.write([prediction(row(1), at(5)), prediction(row(2), at(5)), predicted(row(3))])
    asked = [
        (row(1, target=0), at(6)),
        (row(2, "wood/other.jpg"), at(4)),
        (row(3, "wood/other.jpg"), None),
        (row(4), at(6)),
    ]
    assert target.store.filter_known(asked) == {1, 2}
    assert target.store.filter_known([(row(2, "wood/other.jpg"), at(6)), (row(3), at(6))]) == {3}
    assert target.store.filter_known([(row(1, "wood/other.jpg"), None)]) == {1}, "from before messages said when"


def test_former_content_never_comes_back(target: Target) -> None:
    target.write([prediction(row(1, "new.jpg"), at(5))])
    assert target.write([prediction(row(1, "old.jpg"), at(4), "2")]) == set()
    assert target.record(letter(row(1, "old.jpg"), at(4, 1))) == 0
    target.write([], [letter(row(1, "old.jpg"), at(4, 1))])
    assert (target.predictions(), target.letters()) == ([(1, "new.jpg", "1")], [])
    assert target.record(letter(row(1, "gone.jpg"), at(6, 2))) == 1
    assert target.write([prediction(row(1, "old.jpg"), at(4), "2")]) == set()
    assert target.record(letter(row(1, "older.jpg"), at(3, 3))) == 0
    assert (target.predictions(), target.letters()) == ([], [(2, 1, "reason 2")])


def test_a_restored_source_counts_from_its_new_commits_on(target: Target) -> None:
    """Its ids and its log start again, its clock does not."""
    target.write([prediction(row(1, "lost.jpg"), at(5, 900))])
    assert target.write([prediction(row(1, "again.jpg"), at(60, 10))]) == {1}
    assert target.predictions() == [(1, "again.jpg", "1")]


def test_a_message_that_was_refused_once_may_be_predicted_later(target: Target) -> None:
    target.record(letter(row(1), at(5, 1)))
    assert target.record(letter(row(1), at(5, 1))) == 0
    assert target.write([prediction(row(1), at(5, 1))]) == {1}
    assert target.letters() == []


@pytest.mark.parametrize("dead", [False, True])
def test_the_outcome_of_a_deleted_row_is_kept_and_marked(target: Target, dead: bool) -> None:
    table = "cargo_dead_letter" if dead else "cargo_prediction"
    if dead:
        target.record(letter(row(1), at(5)))
    else:
        target.write([prediction(row(1), at(5))])
    query = f"select extract(epoch from deleted_at - '{NOW}')::int from {table}"
    target.write([], deletions=[Deletion(1, at(4))])
    assert target.query(query) == [(None,)], "the row was deleted before it was made again"
    target.write([], deletions=[Deletion(1, at(6)), Deletion(2, at(6))])
    assert target.query(query) == [(6,)]
    target.write([], deletions=[Deletion(1, at(6))])
    target.write([prediction(row(1), at(5))])
    assert target.query(query) == [(6,)], "delivered again"
    target.write([prediction(row(1), at(7))])
    assert target.query("select deleted_at from cargo_prediction") == [(None,)]


changes = st.lists(st.sampled_from(["a.jpg", "b.jpg", "gone.jpg", "delete"]), min_size=1, max_size=5)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), history=changes)
def test_any_order_of_arrival_ends_the_same(target: Target, data: st.DataObject, history: list[str]) -> None:
    """Each change of a row may arrive at any time and more than once: what stays is the last one's outcome."""
    target.query("delete from cargo_prediction")
    target.query("delete from cargo_dead_letter")
    for number in data.draw(st.permutations([*range(len(history)), *range(len(history))])):
        cargo, when = row(1, history[number]), at(number, number)
        if history[number] == "delete":
            target.write([], deletions=[Deletion(1, when)])
        elif history[number] == "gone.jpg":
            target.record(letter(cargo, when))
        elif 1 in target.store.filter_known([(cargo, when)]):
            target.write([], same_pictures=[SamePicture(cargo, when)])
        else:
            target.write([prediction(cargo, when)])
    outcomes = target.query(
        "select image_path, deleted_at is null from cargo_prediction union all"
        " select 'gone.jpg', deleted_at is null from cargo_dead_letter"
    )
    rest = [change for change in history if change != "delete"]
    if rest and history[-1] != "delete":
        assert outcomes == [(history[-1], True)]
    else:
        # Of a row that was deleted an outcome is kept where there was one by then.
        assert len(outcomes) <= 1
