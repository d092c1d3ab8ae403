"""What the subscriber writes, on the tables of the running stack."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from common.postgres import connect
from common.rows import CargoRow
from dashboard_stream.clients.target_database import DatabaseUnavailable, TargetDatabase
from dashboard_stream.subscriber.messages import Message, Partition, SourcePosition
from dashboard_stream.subscriber.outcomes import DeadLetter, Deletion, Outcomes, Prediction, SamePicture
from dashboard_stream.subscriber.prediction_store import PRUNE_EVERY_ROWS, PredictionStore, RowsRefused
from tests.conftest import Stack
from tests.integration.target_tables import target_tables

PLACE = Partition("rows", 1)


KEPT = 100


NOW = datetime(2026, 11, 21, 4, 35, 23, 123456, UTC)


class Target:
    """A schema in the target database with the subscriber's tables."""

    def __init__(self, url: str) -> None:
        self._connection = connect(url, "test")
        self.database = TargetDatabase(url)
        self.store = PredictionStore(self.database, KEPT)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def predictions(self) -> list[tuple[object, ...]]:
        return self.query("select id, image_path, model_version from cargo_prediction order by id")

    def letters(self) -> list[tuple[object, ...]]:
        return self.query('select "offset", id, reason from cargo_dead_letter order by "offset"')

    def record(self, *letters: DeadLetter) -> int:
        news = self.store.filter_new(letters)
        self.write([], news)
        return len(news)

    def write(
        self,
        predictions: Sequence[Prediction],
        letters: Sequence[DeadLetter] = (),
        same_pictures: Sequence[SamePicture] = (),
        deletions: Sequence[Deletion] = (),
    ) -> set[int]:
        return self.store.write(Outcomes(list(predictions), list(same_pictures), list(deletions), list(letters)))

    def close(self) -> None:
        self._connection.close()
        self.database.close()


@pytest.fixture
def target(stack: Stack) -> Iterator[Target]:
    with target_tables(stack) as schema:
        target = Target(f"{stack.target_url}?options=-csearch_path%3D{schema}")
        yield target
        target.close()


def row(row_id: int, image_path: str = "wood/a.jpg", target: int | None = 4) -> CargoRow:
    return CargoRow(id=row_id, timestamp=NOW, dataset="monday", image_path=image_path, target=target)


def predicted(cargo: CargoRow, model_version: str = "1", target: int = 4, embedding: bytes | None = None) -> Prediction:
    prediction = Prediction(cargo, target, "wood", 0.75, model_version, NOW)
    if embedding is None:
        return prediction
    return replace(prediction, content="c0ffee", embedding=embedding, embedding_method="one")


def dead(offset: int, cargo: CargoRow | None = None, row_id: int | None = None) -> DeadLetter:
    message = Message(PLACE, offset, b"key", f"value {offset}".encode())
    return DeadLetter(message, cargo, cargo.id if cargo else row_id, "unreadable", f"reason {offset}")


def test_every_column_is_stored(target: Target) -> None:
    assert target.write([predicted(row(1, target=None))]) == {1}
    position = SourcePosition(NOW, 77)
    assert target.write([replace(predicted(row(2)), position=position)]) == {2}
    columns = "id, timestamp, dataset, image_path, target, label, confidence, model_version, predicted_at"
    more = "source_time, source_lsn, label_at, deleted_at"
    assert target.query(f"select {columns}, {more} from cargo_prediction order by id") == [
        (1, NOW, "monday", "wood/a.jpg", 4, None, 0.75, "1", NOW, None, None, None, None),
        (2, NOW, "monday", "wood/a.jpg", 4, 4, 0.75, "1", NOW, NOW, 77, NOW, None),
    ]


def test_a_message_delivered_again_keeps_the_first_prediction(target: Target) -> None:
    for label in (4, None):
        cargo = row(1 if label else 2, target=label)
        assert target.write([predicted(cargo, "1")]) == {cargo.id}
        assert target.write([predicted(cargo, "2")]) == set()
    assert target.predictions() == [(1, "wood/a.jpg", "1"), (2, "wood/a.jpg", "1")]


def test_a_changed_picture_is_predicted_anew(target: Target) -> None:
    for number, changed in enumerate([row(1, "wood/b.jpg"), row(1).model_copy(update={"dataset": "tuesday"})]):
        target.write([predicted(row(1), f"{number}")])
        assert target.write([predicted(changed, "2")]) == {1}
        assert target.predictions() == [(1, changed.image_path, "2")]


def embeddings(target: Target) -> list[tuple[int, bytes]]:
    rows = target.query("select id, content, method, embedding from cargo_prediction_embedding order by id")
    assert all(row[1:3] == ("c0ffee", "one") for row in rows)
    return [(cast("int", row[0]), bytes(cast("memoryview", row[3]))) for row in rows]


def test_an_embedding_follows_the_prediction_that_is_stored(target: Target) -> None:
    target.write([predicted(row(1), "1", embedding=b"a"), predicted(row(2), "1")])
    assert embeddings(target) == [(1, b"a")]
    target.write([predicted(row(1), "2", embedding=b"b"), predicted(row(2), "2", embedding=b"b")])
    assert embeddings(target) == [(1, b"a")], "delivered again: the first prediction stays"
    target.write([predicted(row(1, "b.jpg"), "2", embedding=b"c"), predicted(row(3), embedding=b"d")])
    assert embeddings(target) == [(1, b"c"), (3, b"d")]
    target.write([predicted(row(1, "c.jpg"), "3")])
    assert embeddings(target) == [(3, b"d")], "predicted anew by a model that gives none"
    target.record(dead(8, row(3, "gone.jpg")))
    assert embeddings(target) == []


def test_only_the_newest_embeddings_are_kept(target: Target) -> None:
    for first in range(1, 3 * KEPT + PRUNE_EVERY_ROWS, KEPT):
        target.write([predicted(row(n), embedding=b"a") for n in range(first, first + KEPT)])
        assert len(embeddings(target)) <= KEPT + PRUNE_EVERY_ROWS
    kept = [number for number, _ in embeddings(target)]
    assert kept == list(range(kept[0], first + KEPT)), "the newest, without a gap"
    assert kept[0] > 1
    none = PredictionStore(target.database, 0)
    none.write(Outcomes([predicted(row(kept[-1] + 1))], [], [], []))
    assert embeddings(target) == []


def test_a_dead_letter_is_recorded_once(target: Target) -> None:
    assert target.record(dead(7, row(1))) == 1
    assert target.record(dead(7, row(1))) == 0
    assert target.letters() == [(7, 1, "reason 7")]


def test_the_same_row_twice_on_the_topic_is_one_dead_letter(target: Target) -> None:
    target.record(dead(7, row(1)))
    target.record(dead(8, row(1)))
    assert target.letters() == [(8, 1, "reason 8")]


@pytest.mark.parametrize(("row_id", "label"), [(-(2**63), -(2**31)), (2**63 - 1, 2**31 - 1)])
def test_the_most_extreme_row_is_recorded(target: Target, row_id: int, label: int) -> None:
    assert target.record(dead(7, row(row_id, target=label))) == 1
    assert target.letters() == [(7, row_id, "reason 7")]
    assert target.write([predicted(row(row_id, target=label))]) == {row_id}
    assert target.letters() == []


def test_a_prediction_takes_the_place_of_a_dead_letter(target: Target) -> None:
    target.record(dead(7, row(1)))
    target.write([predicted(row(1))])
    assert (target.predictions(), target.letters()) == ([(1, "wood/a.jpg", "1")], [])


def test_a_failure_after_the_prediction_changes_nothing_unless_the_row_changed(target: Target) -> None:
    target.write([predicted(row(1))])
    assert target.record(dead(7, row(1))) == 0
    assert (target.predictions(), target.letters()) == ([(1, "wood/a.jpg", "1")], [])
    assert target.record(dead(8, row(1, "gone.jpg"))) == 1
    assert (target.predictions(), target.letters()) == ([], [(8, 1, "reason 8")])


def test_an_unreadable_message_never_speaks_for_a_row_with_an_outcome(target: Target) -> None:
    target.write([predicted(row(1))])
    target.record(dead(5, row(2)))
    target.record(dead(7, row_id=1), dead(8, row_id=2), dead(9, row_id=3), dead(10, row_id=3), dead(11))
    assert target.predictions() == [(1, "wood/a.jpg", "1")]
    assert [letter[:2] for letter in target.letters()] == [(5, 2), (7, None), (8, None), (9, 3), (10, None), (11, None)]


def test_refused_rows_are_named_and_nothing_is_written(target: Target) -> None:
    batch = [predicted(row(1)), predicted(row(2), target=2**31), predicted(row(3)), predicted(row(4), target=-(2**40))]
    with pytest.raises(RowsRefused) as refused:
        target.write(batch, [dead(9, row(5))])
    assert set(refused.value.reasons) == {2, 4}
    assert (target.predictions(), target.letters()) == ([], [])


def test_missing_tables_are_waited_for(stack: Stack) -> None:
    database = TargetDatabase(f"{stack.target_url}?options=-csearch_path%3Dnowhere")
    with pytest.raises(DatabaseUnavailable, match="connect_reconciler"):
        PredictionStore(database, KEPT).check()
    database.close()


def test_a_killed_database_is_away_and_then_back(stack: Stack, target: Target) -> None:
    target.write([predicted(row(1))])
    stack.kill("target-postgres")
    with pytest.raises(DatabaseUnavailable):
        target.write([predicted(row(2))])
    stack.wait_ready("target-postgres")
    assert target.write([predicted(row(2))]) == {2}
    target.database.close()
    assert target.write([predicted(row(1))]) == set()
