"""The target database, the judge: after each commit every row has one prediction or one dead letter."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from common.rows import CargoRow
from dashboard_stream.clients.target_database import ROW_ERRORS, TargetDatabase
from dashboard_stream.subscriber import outcome_statements as statements
from dashboard_stream.subscriber.messages import SourcePosition
from dashboard_stream.subscriber.outcomes import DeadLetter, Deletion, Outcomes, Prediction, SamePicture

PRUNE_EVERY_ROWS = 1000
"""Rows from one pruning of embeddings to the next: so many more than are to be kept there may be."""

TABLES = ("cargo_prediction", "cargo_prediction_embedding", "cargo_dead_letter")


class RowsRefused(Exception):
    """The database refuses these rows themselves: reason by row id. Nothing was written."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(f"{len(reasons)} rows")
        self.reasons = reasons


class PredictionStore:
    """What the subscriber writes. Each method is one transaction, may be repeated, and raises `DatabaseUnavailable`."""

    def __init__(self, database: TargetDatabase, kept_embeddings: int) -> None:
        self._database, self._kept_embeddings = database, kept_embeddings
        self._until_prune = 0

    def check(self) -> None:
        """Return if the tables are there, with the columns that are written."""
        with self._database.transaction() as cursor:
            cursor.execute("select fingerprint from cargo_dead_letter limit 0")
            for table in TABLES:
                cursor.execute(f"select from {table} limit 0")

    def filter_known(self, rows: Sequence[tuple[CargoRow, SourcePosition | None]]) -> set[int]:
        """Ids of those that need no model: their picture has its prediction, or what they say is outdated."""
        if not rows:
            return set()
        values = [(row.id, row.dataset, row.image_path, *_place(position)) for row, position in rows]
        with self._database.transaction() as cursor:
            query, types = statements.SELECT_KNOWN, statements.SELECT_KNOWN_TYPES
            return {number for (number,) in execute_values(cursor, query, values, types, len(values), fetch=True)}

    def filter_new(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Those letters that are to be recorded: not known yet, and their row has no outcome that stands against it."""
        if not letters:
            return []
        with self._database.transaction() as cursor:
            return _news(cursor, letters)

    def write(self, outcomes: Outcomes) -> set[int]:
        """Store what is news of them. Returns the ids whose prediction is. Raises `RowsRefused`."""
        try:
            with self._database.transaction() as cursor:
                _lock(cursor, outcomes)
                new = _predict(cursor, outcomes)
                _record(cursor, _news(cursor, outcomes.dead_letters))
                _delete(cursor, outcomes.deletions)
                if prune := self._until_prune <= len(new):
                    cursor.execute(statements.PRUNE_EMBEDDINGS, (self._kept_embeddings,))
            # Only now: a transaction that was taken back has pruned nothing.
            self._until_prune = PRUNE_EVERY_ROWS if prune else self._until_prune - len(new)
            return new
        except ROW_ERRORS as error:
            if reasons := self._refused(outcomes.predictions):
                raise RowsRefused(reasons) from error
            raise

    def _refused(self, predictions: Sequence[Prediction]) -> dict[int, str]:
        """Try each prediction alone and take it back; the reasons of those that fail."""
        reasons = {}
        with self._database.transaction() as cursor:
            for prediction in predictions:
                cursor.execute("savepoint one_row")
                try:
                    _predict(cursor, Outcomes([prediction], [], [], []))
                except ROW_ERRORS as error:
                    reasons[prediction.row.id] = f"the database refuses the row: {' '.join(str(error).split())}"
                cursor.execute("rollback to savepoint one_row")
        return reasons


def _with_picture(outcomes: Outcomes) -> list[Prediction | SamePicture]:
    return [*outcomes.predictions, *outcomes.same_pictures]


def _lock(cursor: Cursor, outcomes: Outcomes) -> None:
    ids = {each.row.id for each in _with_picture(outcomes)} | {each.id for each in outcomes.deletions}
    ids |= {each.id for each in outcomes.dead_letters if each.id is not None}
    cursor.execute(statements.LOCK_ROWS, (list(ids),))


def _predict(cursor: Cursor, outcomes: Outcomes) -> set[int]:
    predictions, with_picture = outcomes.predictions, _with_picture(outcomes)
    _execute(cursor, statements.LABEL, statements.LABEL_TYPES, map(_label, with_picture))
    positions = ((each.row.id, *_place(each.position)) for each in with_picture)
    _execute(cursor, statements.DROP_LETTERS, statements.POSITION_TYPES, positions)
    if not predictions:
        return set()
    values = [_prediction(each) for each in predictions]
    query, types = statements.UPSERT, statements.UPSERT_TYPES
    new = {number for (number,) in execute_values(cursor, query, values, types, len(values), fetch=True)}
    stored = [each for each in predictions if each.row.id in new]
    # A row predicted anew by a model that gives none must not keep that of its former picture.
    _remove(cursor, "cargo_prediction_embedding", (each.row.id for each in stored if each.embedding_record is None))
    records = [each.embedding_record for each in stored if each.embedding_record is not None]
    if records:
        execute_values(cursor, statements.UPSERT_EMBEDDINGS, records, page_size=len(records))
    return new


def _news(cursor: Cursor, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    values = [(letter.message.fingerprint(), *_content(letter)) for letter in letters]
    if not values:
        return []
    query, types = statements.SELECT_NEW, statements.SELECT_NEW_TYPES
    new = {text for (text,) in execute_values(cursor, query, values, types, len(values), fetch=True)}
    return [letter for letter in letters if letter.message.fingerprint() in new]


def _record(cursor: Cursor, letters: Sequence[DeadLetter]) -> None:
    # The picture changed since: what was stored speaks of the former one.
    changed = [letter.row.id for letter in letters if letter.row]
    for table in TABLES:
        _remove(cursor, table, changed)
    # One by one, readable ones first: each looks at what is recorded about its row by then.
    for letter in sorted(letters, key=lambda letter: letter.row is None):
        _execute(cursor, statements.RECORD, statements.RECORD_TYPES, [_letter(letter)])


def _delete(cursor: Cursor, deletions: Sequence[Deletion]) -> None:
    positions = [(each.id, *_place(each.position)) for each in deletions]
    for table in ("cargo_prediction", "cargo_dead_letter"):
        query = statements.MARK_DELETED.format(table=table, newer=statements.IS_NEWER)
        _execute(cursor, query, statements.POSITION_TYPES, positions)


def _execute(cursor: Cursor, query: str, types: str, values: Iterable[tuple[object, ...]]) -> None:
    rows = list(values)
    if rows:
        execute_values(cursor, query, rows, types, len(rows))


def _remove(cursor: Cursor, table: str, ids: Iterable[int]) -> None:
    cursor.execute(f"delete from {table} where id = any(%s::bigint[])", (list(ids),))  # noqa: S608 - our own names


def _place(position: SourcePosition | None) -> tuple[datetime | None, int | None]:
    return (position.time, position.lsn) if position else (None, None)


def _label(outcome: Prediction | SamePicture) -> tuple[object, ...]:
    row = outcome.row
    return (row.id, row.timestamp, row.dataset, row.image_path, row.target, *_place(outcome.position))


def _prediction(prediction: Prediction) -> tuple[object, ...]:
    row, (time, lsn) = prediction.row, _place(prediction.position)
    labelled_at = None if row.target is None else time or prediction.predicted_at
    return (
        *(row.id, row.timestamp, row.dataset, row.image_path, prediction.target, row.target, prediction.confidence),
        *(prediction.model_version, prediction.predicted_at, time, lsn, labelled_at),
    )


def _content(letter: DeadLetter) -> tuple[object, ...]:
    if letter.row is None:
        return (None, None, None, None, None)
    return (letter.row.id, letter.row.dataset, letter.row.image_path, *_place(letter.message.position()))


def _letter(letter: DeadLetter) -> tuple[object, ...]:
    message = letter.message
    return (
        *(message.fingerprint(), *message.partition, message.offset, letter.id, letter.reason),
        *(message.key, message.value, *_place(message.position())),
    )
