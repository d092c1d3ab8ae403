"""The connection to the target database: which failures pass with time, and which are a row's fault."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import cursor as Cursor

from common.cli import UserError
from common.postgres import Connection, connect, describe
from common.waiting import Unavailable

IDLE_TIMEOUT_S = 60
"""A frozen service lets go of what it has locked; its work is done again."""

ROW_ERRORS = (psycopg2.DataError, psycopg2.IntegrityError)


class DatabaseUnavailable(Unavailable):
    """The database cannot serve now; the same work may succeed later."""

    part = "database"


class TargetDatabase:
    """One connection, opened when needed and given up when it fails; the next transaction connects anew."""

    def __init__(self, url: str, application: str = "data-subscriber") -> None:
        self._url, self._application = url, application
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A cursor whose work is committed at the end of the block, or undone when the block raises.

        Raises `DatabaseUnavailable` for every database error but those of `ROW_ERRORS`. After a failure during the
        commit nobody knows whether it happened: the caller's work must bear repetition.
        """
        try:
            connection = self._connect()
            with connection, connection.cursor() as cursor:
                yield cursor
        except ROW_ERRORS:
            raise
        except psycopg2.Error as error:
            self.close()
            missing = isinstance(error, psycopg2.errors.UndefinedTable)
            hint = " Start connect_reconciler, which creates the tables." if missing else ""
            raise DatabaseUnavailable(f"{describe(self._url)}: {' '.join(str(error).split())}.{hint}") from error

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> Connection:
        if self._connection is None:
            try:
                # Waiting is the caller's: it has partitions or a heartbeat to keep meanwhile.
                self._connection = connect(
                    self._url, self._application, timeout_s=0, idle_in_transaction_timeout_s=IDLE_TIMEOUT_S
                )
            except UserError as error:
                raise DatabaseUnavailable(" ".join(str(error).split())) from error
        return self._connection
