"""The target database, the judge: after each commit every row has one prediction or one dead letter."""

from collections.abc import Iterable, Sequence

from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from dashboard_stream.clients.target_database import ROW_ERRORS, TargetDatabase
from dashboard_stream.subscriber.batches import DeadLetter, Prediction

UPSERT = """
insert into cargo_prediction as stored
    (id, "timestamp", dataset, image_path, target, label, confidence, model_version, predicted_at)
values %s
on conflict (id) do update set
    "timestamp" = excluded."timestamp", dataset = excluded.dataset, image_path = excluded.image_path,
    target = excluded.target, label = excluded.label, confidence = excluded.confidence,
    model_version = excluded.model_version, predicted_at = excluded.predicted_at
-- A message delivered again keeps the first prediction; a source row that changed is predicted anew.
where (stored.dataset, stored.image_path, stored.label)
    is distinct from (excluded.dataset, excluded.image_path, excluded.label)
returning id
"""

UPSERT_EMBEDDINGS = """
insert into cargo_prediction_embedding (id, content, method, embedding) values %s
on conflict (id) do update set
    content = excluded.content, method = excluded.method, embedding = excluded.embedding
"""

PRUNE = """
delete from cargo_prediction_embedding
where id <= (select id from cargo_prediction_embedding order by id desc limit 1 offset %s)
"""
PRUNE_EVERY_ROWS = 1000
"""Rows from one pruning to the next: so many more than are to be kept there may be."""

# Which letters are news: not recorded yet, and no message delivered again whose row has its prediction.
SELECT_NEW = """
select letter.topic, letter.part, letter.off
from (values %s) as letter (topic, part, off, id, dataset, image_path, label)
where not exists (
    select from cargo_dead_letter known
    where (known.topic, known."partition", known."offset") = (letter.topic, letter.part, letter.off)
) and not exists (
    select from cargo_prediction stored
    where stored.id = letter.id and (stored.dataset, stored.image_path, stored.label)
        is not distinct from (letter.dataset, letter.image_path, letter.label)
)
"""
# Cast in parentheses: -2147483648::int is the minus of a number that is too large.
SELECT_NEW_TYPES = "(%s, (%s)::int, (%s)::bigint, (%s)::bigint, %s, %s, (%s)::int)"

# The id of an unreadable message is a guess: it is recorded only where the row has no other outcome.
RECORD = """
insert into cargo_dead_letter (topic, "partition", "offset", id, reason)
select letter.topic, letter.part, letter.off,
    case when not exists (select from cargo_prediction where id = letter.id)
        and not exists (select from cargo_dead_letter where id = letter.id) then letter.id end,
    letter.reason
from (values %s) as letter (topic, part, off, id, reason)
on conflict do nothing
"""
RECORD_TYPES = "(%s, (%s)::int, (%s)::bigint, (%s)::bigint, %s)"


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
        """Return if the tables are there."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "select from cargo_prediction limit 0; select from cargo_prediction_embedding limit 0;"
                " select from cargo_dead_letter limit 0"
            )

    def filter_new(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Those letters that were not recorded before and whose row has no prediction of the same content."""
        if not letters:
            return []
        values = [(*_place(letter), letter.row.id if letter.row else None, *_content(letter)) for letter in letters]
        with self._database.transaction() as cursor:
            new = set(execute_values(cursor, SELECT_NEW, values, SELECT_NEW_TYPES, len(values), fetch=True))
        return [letter for letter in letters if _place(letter) in new]

    def write(self, predictions: Sequence[Prediction], letters: Sequence[DeadLetter]) -> set[int]:
        """Store outcomes; `letters` must be news. Returns the ids whose prediction is new. Raises `RowsRefused`."""
        try:
            with self._database.transaction() as cursor:
                new = _upsert(cursor, predictions)
                _record(cursor, letters)
                if prune := self._until_prune <= len(new):
                    cursor.execute(PRUNE, (self._kept_embeddings,))
            # Only now: a transaction that was taken back has pruned nothing.
            self._until_prune = PRUNE_EVERY_ROWS if prune else self._until_prune - len(new)
            return new
        except ROW_ERRORS as error:
            if reasons := self._refused(predictions):
                raise RowsRefused(reasons) from error
            raise

    def _refused(self, predictions: Sequence[Prediction]) -> dict[int, str]:
        """Try each prediction alone and take it back; the reasons of those that fail."""
        reasons = {}
        with self._database.transaction() as cursor:
            for prediction in predictions:
                cursor.execute("savepoint one_row")
                try:
                    _upsert(cursor, [prediction])
                except ROW_ERRORS as error:
                    reasons[prediction.row.id] = f"the database refuses the row: {' '.join(str(error).split())}"
                cursor.execute("rollback to savepoint one_row")
        return reasons


def _upsert(cursor: Cursor, predictions: Sequence[Prediction]) -> set[int]:
    if not predictions:
        return set()
    values = [
        (
            *(p.row.id, p.row.timestamp, p.row.dataset, p.row.image_path),
            *(p.target, p.row.target, p.confidence, p.model_version, p.predicted_at),
        )
        for p in predictions
    ]
    _delete(cursor, "cargo_dead_letter", (p.row.id for p in predictions))
    new = {number for (number,) in execute_values(cursor, UPSERT, values, page_size=len(values), fetch=True)}
    _upsert_embeddings(cursor, [prediction for prediction in predictions if prediction.row.id in new])
    return new


def _upsert_embeddings(cursor: Cursor, predictions: Sequence[Prediction]) -> None:
    # A row predicted anew by a model that gives none must not keep that of its former content.
    _delete(cursor, "cargo_prediction_embedding", (p.row.id for p in predictions if p.embedding_record is None))
    values = [prediction.embedding_record for prediction in predictions if prediction.embedding_record is not None]
    if values:
        execute_values(cursor, UPSERT_EMBEDDINGS, values, page_size=len(values))


def _record(cursor: Cursor, letters: Sequence[DeadLetter]) -> None:
    # The row changed since: what was stored speaks of its former content.
    changed = [letter.row.id for letter in letters if letter.row]
    _delete(cursor, "cargo_prediction", changed)
    _delete(cursor, "cargo_prediction_embedding", changed)
    _delete(cursor, "cargo_dead_letter", changed)
    # One by one, readable ones first: each looks at what is recorded about its row by then.
    for letter in sorted(letters, key=lambda letter: letter.row is None):
        execute_values(cursor, RECORD, [(*_place(letter), letter.id, letter.reason)], RECORD_TYPES)


def _delete(cursor: Cursor, table: str, ids: Iterable[int]) -> None:
    cursor.execute(f"delete from {table} where id = any(%s::bigint[])", (list(ids),))  # noqa: S608 - our own names


def _place(letter: DeadLetter) -> tuple[str, int, int]:
    return (*letter.message.partition, letter.message.offset)


def _content(letter: DeadLetter) -> tuple[str | None, str | None, int | None]:
    return (letter.row.dataset, letter.row.image_path, letter.row.target) if letter.row else (None, None, None)
