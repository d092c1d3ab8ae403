"""What has flowed so far, read from both databases: the figures of the live table and the final account."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg2

from common.postgres import Connection

TARGET_FIGURES = """
select
    (select count(*) from cargo),
    (select count(*) from cargo_dead_letter),
    count(*),
    count(*) filter (where predicted_at > now() - interval '10 seconds') / 10.0,
    min(predicted_at) filter (where predicted_at > %(since)s),
    percentile_cont(array[0.5, 0.99]) within group (order by extract(epoch from predicted_at - "timestamp") * 1000)
        filter (where "timestamp" > greatest(now() - interval '30 seconds', %(latency_since)s))
from cargo_prediction
"""

ACCURACY = """
select model_version, dataset, avg((target = label)::int)
from cargo_prediction
where label is not null
group by model_version, dataset
order by min(predicted_at)
"""


@dataclass(frozen=True)
class Figures:
    """`accuracy` by model version and data set; `latency_ms` is (p50, p99) from insert to prediction, last 30 s."""

    inserted: int = 0
    replicated: int = 0
    dead_letters: int = 0
    predicted: int = 0
    rows_per_second: float = 0.0
    first_prediction: datetime | None = None
    latency_ms: tuple[float, float] | None = None
    accuracy: dict[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True)
class Account:
    """Rows committed so far, those without any outcome, and those with more than one."""

    committed: int
    missing: list[int]
    doubled: list[int]

    @property
    def balanced(self) -> bool:
        """Whether every committed row has exactly one prediction or dead letter."""
        return not self.missing and not self.doubled


def read_figures(source_url: str, target_url: str, since: datetime, first_prediction: datetime | None) -> Figures:
    """Read the figures; predictions before `since` are not taken for the first one.

    Rows that waited for the first prediction tell nothing of latency. All zero while a table is not there.
    """
    inserted = 0
    try:
        with reader(source_url) as source:
            (inserted,) = _one(source, "select count(*) from cargo")
        with reader(target_url) as target, target.cursor() as cursor:
            parameters = {"since": since, "latency_since": first_prediction or datetime.now(UTC)}
            replicated, dead_letters, predicted, rate, first, latency = _one(target, TARGET_FIGURES, parameters)
            cursor.execute(ACCURACY)
            accuracy = {(version, dataset): float(share) for version, dataset, share in cursor.fetchall()}
    except (psycopg2.OperationalError, psycopg2.errors.UndefinedTable):
        return Figures(inserted=inserted)
    return Figures(
        inserted=inserted,
        replicated=replicated,
        dead_letters=dead_letters,
        predicted=predicted,
        rows_per_second=float(rate),
        first_prediction=first,
        latency_ms=(latency[0], latency[1]) if latency else None,
        accuracy=accuracy,
    )


def last_committed_id(source_url: str) -> int:
    """The highest id in the source table, 0 while it is empty."""
    with reader(source_url) as source:
        return int(_one(source, "select coalesce(max(id), 0) from cargo")[0])


def take_account(source_url: str, target_url: str, until_id: int) -> Account:
    """Compare every row up to `until_id` with its outcomes."""
    with reader(source_url) as source, source.cursor() as cursor:
        cursor.execute("select id from cargo where id <= %s", (until_id,))
        committed = {row[0] for row in cursor.fetchall()}
    with reader(target_url) as target, target.cursor() as cursor:
        cursor.execute(
            "select id from cargo_prediction union all select id from cargo_dead_letter where id is not null"
        )
        outcomes = Counter(row[0] for row in cursor.fetchall())
    return Account(
        committed=len(committed),
        missing=sorted(committed - outcomes.keys()),
        doubled=sorted(row for row, count in outcomes.items() if count > 1),
    )


@contextmanager
def reader(url: str) -> Iterator[Connection]:
    """A short read-only session."""
    connection = psycopg2.connect(url, application_name="local_stack", connect_timeout=2)
    try:
        connection.set_session(readonly=True, autocommit=True)
        yield connection
    finally:
        connection.close()


def _one(connection: Connection, query: str, parameters: dict[str, Any] | None = None) -> tuple[Any, ...]:
    """The only row of an aggregate query."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        row = cursor.fetchone()
    assert row is not None  # noqa: S101 - an aggregate always answers with one row
    return row
