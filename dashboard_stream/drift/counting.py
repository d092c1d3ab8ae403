"""What is counted, predictions or labels, and how far it was: reading it, and writing it with what was found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg2.extensions import cursor as Cursor

from common.pictures.embeddings import EMBEDDING_BYTES, project, unpack
from dashboard_stream.drift.sliding_window import Place, PredictionRow, Window, Windows

PAGE_ROWS = 500
"""Some 1.3 MB with their embeddings."""

PAGES_BACK = 20
"""So many windows are searched for rows of a version that answers rarely."""

Counted = Literal["predictions", "labels"]


@dataclass(frozen=True)
class Count:
    """Rows in the order of a column that says which transaction wrote them.

    Transactions that are still open are waited for: what they write has its place before what is counted after them.
    """

    counted: Counted
    column: str
    detector: str
    """Whose checks say how far the windows are."""

    def columns(self) -> str:
        """What is read of a row."""
        embedding = "e.embedding" if self.counted == "predictions" else "null::bytea"
        return (
            "p.id, p.predicted_at, p.dataset, p.image_path, p.target, p.label, p.confidence, p.model_version,"
            f" p.{self.column}::text::bigint, {embedding}"
        )

    def rows(self, where: str) -> str:
        """A query of rows with a place; `where` goes on behind an `and`."""
        join = " left join cargo_prediction_embedding e on e.id = p.id" if self.counted == "predictions" else ""
        return f"select {self.columns()} from cargo_prediction p{join} where p.{self.column} is not null and {where}"

    def newer(self, cursor: Cursor, place: Place | None) -> list[PredictionRow]:
        """The next rows behind `place`, oldest first; from the first on where it is None."""
        column = f"p.{self.column}"
        cursor.execute(
            self.rows(
                f"{column} < pg_snapshot_xmin(pg_current_snapshot()) and ({column}, p.id) > (%s::text::xid8, %s)"
                f" order by {column}, p.id limit {PAGE_ROWS}"
            ),
            place or Place(0, -(2**63)),
        )
        return _rows(cursor.fetchall())

    def held_back(self, cursor: Cursor) -> bool:
        """Whether rows wait for a transaction that is still open."""
        cursor.execute(
            f"select exists (select from cargo_prediction"
            f" where {self.column} >= pg_snapshot_xmin(pg_current_snapshot()))"
        )
        return bool(cursor.fetchone() == (True,))

    def progress(self, cursor: Cursor, window: int) -> Place | None:
        """How far counting has come; at the very first time up to the last `window` rows; None = at the beginning."""
        cursor.execute("select transaction::text::bigint, id from drift_progress where counted = %s", (self.counted,))
        row = cursor.fetchone()
        if row is None:
            cursor.execute(
                f"select {self.column}::text::bigint, id from cargo_prediction where {self.column} is not null"
                f" order by {self.column} desc, id desc limit 1 offset %s",
                (window,),
            )
            row = cursor.fetchone()
        return Place(*row) if row else None

    def windows(self, cursor: Cursor, place: Place | None, size: int, check_every: int) -> Windows:
        """Those of the versions that answered by `place`, as they were then."""
        windows = Windows(size, check_every)
        if place is None:
            return windows
        recent = self._up_to(cursor, place, size)
        for version in dict.fromkeys(row.model_version for row in recent):
            rows = self._up_to(cursor, place, size, version)
            since = next(number for number, row in enumerate(reversed(recent)) if row.model_version == version)
            windows.resume(version, Window(size, check_every, rows, self._since_check(cursor, version, rows)), since)
        return windows

    def _up_to(self, cursor: Cursor, place: Place, size: int, version: str | None = None) -> list[PredictionRow]:
        order = f"order by p.{self.column} desc, p.id desc limit"
        query = self.rows(f"(p.{self.column}, p.id) <= (%s::text::xid8, %s) {order} %s")
        if version is None:
            cursor.execute(query, (*place, size))
        else:
            cursor.execute(
                f"select * from ({query}) as recent where model_version = %s limit %s",
                (*place, PAGES_BACK * size, version, size),
            )
        return _rows(cursor.fetchall())[::-1]

    def _since_check(self, cursor: Cursor, version: str, rows: Sequence[PredictionRow]) -> int:
        cursor.execute(
            "select window_last_id from drift where model_version = %s and detector = %s"
            " order by checked_at desc limit 1",
            (version, self.detector),
        )
        last = cursor.fetchone()
        after = [number for number, row in enumerate(reversed(rows)) if last == (row.id,)]
        return after[0] if after else 0

    def move(self, cursor: Cursor, place: Place) -> None:
        """Write that everything up to `place` is counted."""
        cursor.execute(
            "insert into drift_progress (counted, transaction, id) values (%s, %s::text::xid8, %s)"
            " on conflict (counted) do update set transaction = excluded.transaction, id = excluded.id",
            (self.counted, *place),
        )


PREDICTIONS = Count("predictions", "written_by", "confidence")
LABELS = Count("labels", "labelled_by", "accuracy")


def _rows(rows: Sequence[tuple[Any, ...]]) -> list[PredictionRow]:
    kept = [index for index, row in enumerate(rows) if row[-1] is not None and len(row[-1]) == EMBEDDING_BYTES]
    features: dict[int, list[float]] = {}
    if kept:
        embeddings = unpack(b"".join(bytes(rows[index][-1]) for index in kept))
        features = dict(zip(kept, project(embeddings).tolist(), strict=True))
    return [PredictionRow(*(*row[:-2], Place(row[-2], row[0]), features.get(index))) for index, row in enumerate(rows)]
