"""What became of every committed row: asked of both databases by id, from outside, in bounded steps."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import psycopg2

from common.postgres import Connection
from common.settings import local_port

STEP = 50_000
"""Ids that are compared at once."""

OUTCOMES = """
select id from cargo_prediction where id = any(%(ids)s::bigint[])
union all select id from cargo_dead_letter where id = any(%(ids)s::bigint[])
"""

BETWEEN = """
select id from cargo_prediction where id between %(first)s and %(last)s
union all select id from cargo_dead_letter where id between %(first)s and %(last)s
"""

SENT = """
select coalesce(bool_or(confirmed_flush_lsn >= %s::pg_lsn), false) from pg_replication_slots
where slot_name = 'dbz_cargo'
"""


@dataclass(frozen=True)
class Account:
    """Rows by what became of them. The ids are sorted; those of none of the three have exactly one outcome."""

    committed: int
    waiting: Sequence[int] = ()
    """No outcome yet, and some part of the chain has not finished."""
    lost: Sequence[int] = ()
    """No outcome, though the whole chain says that it has finished."""
    duplicated: Sequence[int] = ()
    """A prediction and a dead letter."""

    @property
    def sound(self) -> bool:
        """Whether nothing went wrong; rows may still wait."""
        return not self.lost and not self.duplicated

    @property
    def complete(self) -> bool:
        """Whether every committed row has exactly one outcome."""
        return self.sound and not self.waiting


@dataclass(frozen=True)
class SourceEnd:
    """Where the source ended: its highest id, and the place in its log behind it."""

    last_id: int
    log_position: str


@contextmanager
def read_only_session(url: str) -> Iterator[Connection]:
    """A short read-only session."""
    connection = psycopg2.connect(url, application_name="local_stack", connect_timeout=5)
    try:
        connection.set_session(readonly=True, autocommit=True)
        yield connection
    finally:
        connection.close()


def source_end(source_url: str) -> SourceEnd:
    """What is committed up to now; 0 while the table is empty."""
    with read_only_session(source_url) as source, source.cursor() as cursor:
        cursor.execute("select coalesce(max(id), 0), pg_current_wal_lsn()::text from cargo")
        last_id, position = cursor.fetchone() or (0, "0/0")
        return SourceEnd(int(last_id), str(position))


def all_settled(source_url: str, end: SourceEnd, subscriber: httpx.Client) -> bool:
    """Whether nothing is left to do: the log up to `end` was sent on, and the subscriber has no open message.

    Ask before looking for outcomes: what has none after that will have none. False when anything does not answer.
    """
    try:
        with read_only_session(source_url) as source, source.cursor() as cursor:
            cursor.execute(SENT, (end.log_position,))
            if cursor.fetchone() != (True,):
                return False
        stream = subscriber.get("/stream").raise_for_status().json()
    except (psycopg2.Error, httpx.HTTPError, ValueError):
        return False
    return bool(stream.get("open") == 0)


def subscriber_client() -> httpx.Client:
    """For questions to the subscriber of this machine's stack."""
    return httpx.Client(base_url=f"http://127.0.0.1:{local_port(9103)}", timeout=5, trust_env=False)


def take_account(source_url: str, target_url: str, last_id: int, settled: bool = False) -> Account:
    """Compare every row up to `last_id` with its outcomes. `settled`: what `all_settled` said before."""
    committed, missing, duplicated = 0, [], []
    with read_only_session(source_url) as source, read_only_session(target_url) as target:
        below = 0
        while ids := _ids(source, below, last_id):
            committed += len(ids)
            with target.cursor() as cursor:
                cursor.execute(BETWEEN, {"first": ids[0], "last": ids[-1]})
                outcomes = [row[0] for row in cursor.fetchall()]
            found = set(outcomes)
            missing += [number for number in ids if number not in found]
            if len(found) < len(outcomes):
                duplicated += sorted(number for number, count in Counter(outcomes).items() if count > 1)
            below = ids[-1]
    return Account(committed, () if settled else missing, missing if settled else (), duplicated)


def without_outcome(target_url: str, ids: Sequence[int]) -> list[int]:
    """Those of `ids` that have none now."""
    with read_only_session(target_url) as target, target.cursor() as cursor:
        found: set[int] = set()
        for start in range(0, len(ids), STEP):
            cursor.execute(OUTCOMES, {"ids": list(ids[start : start + STEP])})
            found |= {row[0] for row in cursor.fetchall()}
    return [number for number in ids if number not in found]


def _ids(source: Connection, below: int, last_id: int) -> list[int]:
    with source.cursor() as cursor:
        cursor.execute(
            "select id from cargo where id > %s and id <= %s order by id limit %s",
            (below, last_id, STEP),
        )
        return [row[0] for row in cursor.fetchall()]
