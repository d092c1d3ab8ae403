"""Writes to the source database so that an outage neither loses a row nor inserts one twice."""

import io
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg2
from prometheus_client import Counter
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from common.cli import UserError
from common.health.state import Health
from common.postgres import Connection, connect, describe
from common.waiting import STARTUP_TIMEOUT_S, Unavailable, retry_until_stopped
from data_generate.control import labels
from data_generate.rows.manifests import Manifest
from data_generate.rows.row_sources import Row
from data_generate.streaming import source_tables

T = TypeVar("T")

log = logging.getLogger(__name__)
RECONNECTS = Counter("data_generator_reconnects", "Times that the database had to be connected to again.")

IDLE_TIMEOUT_S = 60
"""A frozen generator lets go of what it has locked; its work is done again."""

GONE = (psycopg2.OperationalError, psycopg2.InterfaceError)
"""The connection broke or the server cannot serve now: the same work may succeed later."""


class DatabaseUnavailable(Unavailable):
    """The database cannot serve now, or whoever owns it has not made the tables yet."""

    part = "database"


class SourceDatabase:
    """One connection, opened when needed and again whenever the server was away.

    Every method blocks until its work is committed, however long the server is away; `Stopped` when `stop` is set
    meanwhile. `UserError` when the database refuses the work itself, or when it was never there at all.
    """

    def __init__(self, url: str, health: Health, stop: threading.Event) -> None:
        self._url, self._health, self._stop = url, health, stop
        self._connection: Connection | None = None
        self._first_answer_by_s = time.monotonic() + STARTUP_TIMEOUT_S

    def prepare(self) -> None:
        """Make the tables that are missing; a role that may not create waits until they are there."""

        def work(connection: Connection) -> None:
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "select has_schema_privilege('public', 'create'),"
                    " array(select name from unnest(%s) as name where to_regclass(name) is null)",
                    (list(source_tables.SCHEMA.tables),),
                )
                may_create, missing = cursor.fetchone() or (False, [])
            if may_create:
                source_tables.create(self._url, "data-generator", timeout_s=0)
            elif missing:
                raise DatabaseUnavailable(f"there is no table {missing[0]} yet; create_source_tables.py makes it")

        self._until_done(work)

    def load_once(self, manifest: Manifest) -> int:
        """COPY all rows of a manifest, unless this very manifest was loaded before; return how many were loaded.

        The rows and the note that they are loaded are one transaction: killed anywhere, nothing or all of it is there.
        """
        lines = io.StringIO("".join(_copy_line(manifest.dataset, i.image_path, i.target) for i in manifest.items))

        def work(cursor: Cursor) -> int:
            cursor.execute(
                "insert into cargo_load (manifest_sha256, dataset, rows) values (%s, %s, %s) on conflict do nothing",
                (manifest.sha256, manifest.dataset, len(manifest.items)),
            )
            if cursor.rowcount == 0:
                return 0
            lines.seek(0)
            cursor.copy_expert("copy cargo (dataset, image_path, target) from stdin", lines)
            return len(manifest.items)

        return self.transaction(work)

    def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Row], label_delay_s: float | None = 0.0
    ) -> None:
        """Insert rows in one transaction, and note in it the labels that are to follow.

        Their ids are drawn and committed first. So when the connection breaks during the commit and nobody can tell
        whether it happened, the same ids are sent again, and a row that is there already is left alone.
        """
        ids = self.transaction(lambda cursor: _draw_ids(cursor, table, len(rows)))
        numbered = [(number, *row) for number, row in zip(ids, rows, strict=True)]
        shown = numbered if label_delay_s == 0 else labels.without_labels(numbered)
        statement = sql.SQL("insert into {} ({}) values %s on conflict (id) do nothing").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, ("id", *columns)))
        )

        def work(cursor: Cursor) -> None:
            execute_values(cursor, statement.as_string(cursor), shown, page_size=len(shown))
            if label_delay_s:
                labels.schedule_labels(cursor, numbered, label_delay_s)

        self.transaction(work)

    def transaction(self, work: Callable[[Cursor], T]) -> T:
        """Do `work` and commit it; again from its beginning when the connection breaks.

        When it breaks during the commit, work that was done may be done again: it must come to the same.
        """

        def once(connection: Connection) -> T:
            with connection, connection.cursor() as cursor:
                return work(cursor)

        return self._until_done(once)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _until_done(self, work: Callable[[Connection], T]) -> T:
        result = retry_until_stopped(lambda: self._attempt(work), self._health, self._stop)
        self._health.mark_available("database")
        self._first_answer_by_s = math.inf
        return result

    def _attempt(self, work: Callable[[Connection], T]) -> T:
        try:
            if self._connection is None:
                # The waiting is done above, where the stop is heard.
                self._connection = connect(
                    self._url, "data-generator", timeout_s=0, idle_in_transaction_timeout_s=IDLE_TIMEOUT_S
                )
            return work(self._connection)
        except UserError as error:
            if time.monotonic() > self._first_answer_by_s:
                raise
            raise DatabaseUnavailable(str(error)) from error
        except GONE as error:
            RECONNECTS.inc()
            self.close()
            raise DatabaseUnavailable(f"{describe(self._url)}: {' '.join(str(error).split())}") from error
        except psycopg2.Error as error:
            raise UserError(
                f"database {describe(self._url)} refuses the work: {' '.join(str(error).split())}."
                " Compare its tables with data_generate/source_migrations."
            ) from error


def _draw_ids(cursor: Cursor, table: str, count: int) -> list[int]:
    cursor.execute("select nextval(pg_get_serial_sequence(%s, 'id')) from generate_series(1, %s)", (table, count))
    return [number for (number,) in cursor.fetchall()]


def _copy_line(dataset: str, image_path: str, target: int | None) -> str:
    escaped = image_path.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    label = "\\N" if target is None else str(target)
    return f"{dataset}\t{escaped}\t{label}\n"
