"""Schemas that come about in numbered steps, each a file, each run once a database (by yoyo, which notes it there)."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg2
from psycopg2.extensions import cursor as Cursor
from yoyo import get_backend, read_migrations
from yoyo.migrations import MigrationList

from common.cli import UserError
from common.postgres import connect, describe
from common.waiting import STARTUP_TIMEOUT_S, retry_for

LOCK_TIMEOUT = "3s"
"""A step that waits for a table lets nobody else to it meanwhile: rather begin again a moment later."""

ONE_AT_A_TIME = "select pg_advisory_xact_lock(hashtext('migrations of ' || current_schema()))"

NOTES = "_yoyo_migration"
"""Where yoyo writes down what was run."""

BUSY = (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected)


@dataclass(frozen=True)
class Schema:
    """A folder of SQL files, run in the order of their names, and the tables that are there afterwards.

    A step and the note that it was run are two transactions, and tables may be dropped by hand: each step bears being
    run again.
    """

    folder: Path
    tables: Sequence[str]


def migrate(url: str, schema: Schema, application: str, timeout_s: float = STARTUP_TIMEOUT_S) -> list[str]:
    """Bring the database to the newest step; the names of those that were run: all where a table has gone since.

    Waits up to `timeout_s` for the server, and for locks that others hold. `UserError` when they never let go.
    """
    attempt = retry_for(timeout_s, f"tables of {describe(url)}", BUSY)
    try:
        return attempt(_migrate, url, schema, application, timeout_s)
    except BUSY as error:
        raise UserError(
            f"the tables of {describe(url)} are in use: {' '.join(str(error).split())}. "
            "See pg_stat_activity for who holds them, and start again."
        ) from error


def pending(url: str, schema: Schema, application: str) -> list[str]:
    """Names of the steps that `migrate` would run; nothing is changed. `UserError` when it cannot be reached."""
    with closing(connect(url, application, timeout_s=0)) as connection, connection.cursor() as cursor:
        return [step.id for step in _missing(cursor, schema)]


def _migrate(url: str, schema: Schema, application: str, timeout_s: float) -> list[str]:
    with closing(connect(url, application, timeout_s)) as guard, guard.cursor() as cursor:
        # Yoyo's own lock is a row, which stays when its owner is killed; this one ends with its session.
        cursor.execute(ONE_AT_A_TIME)
        steps = _missing(cursor, schema)
        if steps:
            with get_backend(_impatient(url)) as backend:
                backend.unmark_migrations(backend.to_rollback(steps))
                backend.apply_migrations(steps)
        return [step.id for step in steps]


def _missing(cursor: Cursor, schema: Schema) -> MigrationList:
    steps = read_migrations(str(schema.folder))
    cursor.execute(
        "select array(select name from unnest(%s) as name where to_regclass(name) is null)",
        ([NOTES, *schema.tables],),
    )
    (gone,) = cursor.fetchone() or ([NOTES],)
    if gone:
        return steps
    cursor.execute(f"select migration_id from {NOTES}")  # noqa: S608 - a constant
    done = {row[0] for row in cursor.fetchall()}
    return steps.filter(lambda step: step.id not in done)


def _impatient(url: str) -> str:
    """`url` for sessions that wait no longer than `LOCK_TIMEOUT` for a lock: yoyo opens several."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    query["options"] = f"{query.get('options', '')} -clock_timeout={LOCK_TIMEOUT}".strip()
    return parts._replace(query=urlencode(query, quote_via=quote)).geturl()
