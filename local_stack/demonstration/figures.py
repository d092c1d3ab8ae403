"""What has flowed so far, for the live table: running totals, so that each look reads only what is new."""

from collections import Counter
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from common.postgres import Connection

FRESH_ROWS = 2000
"""Newest ids that are counted anew at each look: transactions may commit in another order than they drew their ids."""

CARRY_ROWS = 3 * FRESH_ROWS
"""With so many counted anew, the older ones are added to the total for good."""

TOTALS = "select {keys} count(*) from {table} where id > %s and id <= %s {group}"

PACE = """
select count(*) / 10.0 from cargo_prediction where predicted_at > now() - interval '10 seconds'
"""

LATENCY = """
select percentile_cont(array[0.5, 0.99]) within group (order by extract(epoch from predicted_at - "timestamp") * 1000)
from cargo_prediction where "timestamp" > greatest(now() - interval '30 seconds', %s)
"""

FIRST = "select min(predicted_at) from cargo_prediction where predicted_at > %s"

NEWEST = 2**63 - 1


@dataclass(frozen=True)
class StreamTotals:
    """Predictions, those with a label, and the right ones of these, by model version and data set.

    Latency is from insert to prediction, p50 and p99 of the last 30 s.
    """

    inserted: int = 0
    replicated: int = 0
    dead_letters: int = 0
    predictions: dict[tuple[str, str], int] = field(default_factory=dict)
    labelled: dict[tuple[str, str], int] = field(default_factory=dict)
    right: dict[tuple[str, str], int] = field(default_factory=dict)
    rows_per_second: float = 0.0
    first_prediction: datetime | None = None
    latency_ms: tuple[float, float] | None = None

    @property
    def predicted(self) -> int:
        """Predictions of every version and data set."""
        return sum(self.predictions.values())

    @property
    def outcomes(self) -> int:
        """Rows that have come to their end."""
        return self.predicted + self.dead_letters

    def of(self, dataset: str, version: str | None = None) -> int:
        """Predictions of one data set, by one version or by all."""
        return sum(count for (by, of), count in self.predictions.items() if of == dataset and version in (None, by))


class Totals:
    """Rows of one table, by the values of `keys`: those far below the newest id are counted once."""

    def __init__(self, table: str, *keys: str) -> None:
        columns = [sql.SQL(key) for key in keys]  # our own expressions, never a user's
        self._query = sql.SQL(TOTALS).format(
            keys=sql.SQL("").join(column + sql.SQL(", ") for column in columns),
            table=sql.Identifier(table),
            group=sql.SQL("group by ") + sql.SQL(", ").join(columns) if columns else sql.SQL(""),
        )
        self._newest = sql.SQL("select coalesce(max(id), 0) from {}").format(sql.Identifier(table))
        self._carried: Counter[tuple[Hashable, ...]] = Counter()
        self._below = 0

    def read(self, cursor: Cursor) -> Counter[tuple[Hashable, ...]]:
        """The totals now."""
        fresh = self._count(cursor, self._below, NEWEST)
        total = self._carried + fresh
        if fresh.total() > CARRY_ROWS:
            cursor.execute(self._newest)
            (newest,) = cursor.fetchone() or (0,)
            up_to = max(newest - FRESH_ROWS, self._below)
            self._carried += self._count(cursor, self._below, up_to)
            self._below = up_to
        return total

    def _count(self, cursor: Cursor, above: int, up_to: int) -> Counter[tuple[Hashable, ...]]:
        cursor.execute(self._query, (above, up_to))
        return Counter({tuple(keys): count for *keys, count in cursor.fetchall()})


class FigureReader:
    """Reads the figures with one lasting session a database; predictions before `since` are not taken for the first."""

    def __init__(self, source_url: str, target_url: str, since: datetime) -> None:
        self._urls = {"source": source_url, "target": target_url}
        self._sessions: dict[str, Connection] = {}
        self._since = since
        self._first: datetime | None = None
        self._inserted = Totals("cargo")
        self._replicated, self._dead_letters = Totals("cargo"), Totals("cargo_dead_letter")
        self._predictions = Totals("cargo_prediction", "model_version", "dataset", "target = label")

    def read(self, latency_since: datetime | None = None) -> StreamTotals:
        """All zero while a table is not there. Rows inserted before `latency_since` tell nothing of latency."""
        inserted = 0
        try:
            with self._session("source").cursor() as cursor:
                inserted = self._inserted.read(cursor).total()
            with self._session("target").cursor() as cursor:
                return self._read_target(cursor, inserted, latency_since)
        except (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.UndefinedTable):
            self.close()
            return StreamTotals(inserted=inserted)

    def close(self) -> None:
        """End the sessions; the next `read` begins others."""
        for session in self._sessions.values():
            with suppress(psycopg2.Error):
                session.close()
        self._sessions = {}

    def _read_target(self, cursor: Cursor, inserted: int, latency_since: datetime | None) -> StreamTotals:
        predictions, labelled, right = Counter[Any](), Counter[Any](), Counter[Any]()
        for (version, dataset, is_right), count in self._predictions.read(cursor).items():
            predictions[version, dataset] += count
            labelled[version, dataset] += count * (is_right is not None)
            right[version, dataset] += count * bool(is_right)
        if self._first is None:
            self._first = _one(cursor, FIRST, self._since)
        started = self._first is not None
        latency = _one(cursor, LATENCY, latency_since or self._first) if started else None
        return StreamTotals(
            inserted=inserted,
            replicated=self._replicated.read(cursor).total(),
            dead_letters=self._dead_letters.read(cursor).total(),
            predictions=dict(predictions),
            labelled=dict(labelled),
            right=dict(right),
            rows_per_second=float(_one(cursor, PACE)) if started else 0.0,
            first_prediction=self._first,
            latency_ms=(latency[0], latency[1]) if latency else None,
        )

    def _session(self, which: str) -> Connection:
        if which not in self._sessions:
            session = psycopg2.connect(self._urls[which], application_name="local_stack", connect_timeout=2)
            session.set_session(readonly=True, autocommit=True)
            self._sessions[which] = session
        return self._sessions[which]


def _one(cursor: Cursor, query: str, *values: object) -> Any:
    """The only value of the only row."""
    cursor.execute(query, values)
    (value,) = cursor.fetchone() or (None,)
    return value
