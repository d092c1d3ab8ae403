"""Notices that the source's log cannot be read on from where it was, and has the table read again."""

import logging
from contextlib import closing
from typing import Any

import psycopg2
from prometheus_client import Counter

from common.cli import UserError
from common.names import REPLICATION_SLOT, SOURCE_CONNECTOR
from common.postgres import connect, describe
from common.waiting import wait_until
from connect_reconciler.connect_client import ConnectClient

log = logging.getLogger(__name__)

CHECK_EVERY_S = 5.0
DATABASE_TIMEOUT_S = 0.0
STOP_TIMEOUT_S = 30.0

READ_AGAIN = Counter("source_read_again_total", "Times that the source's table was read again")

STATE = """
select (pg_current_wal_lsn() - '0/0')::bigint,
    exists (select from pg_replication_slots where slot_name = %s and wal_status = 'lost')
"""

DROP_LOST_SLOT = """
select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s and wal_status = 'lost'
"""


class SourceRecovery:
    """Two things the connector bears without a word, and would bear for ever.

    A source that was restored from a backup is behind the offset that the connector has committed: it waits until the
    log has grown that far, and leaves out everything up to there. A slot that the server has given up for its size
    cannot be read any more. Without offset and slot the connector reads the table first; what is known already goes
    through no model again.
    """

    def __init__(self, client: ConnectClient, source_url: str, source_password: str | None) -> None:
        self._client, self._source_url, self._password = client, source_url, source_password
        self._checked_at: float | None = None

    def check(self, now: float) -> None:
        """Look now and then, and put it right. `UserError` where the source cannot be asked, or not be put right."""
        if self._checked_at is not None and now - self._checked_at < CHECK_EVERY_S:
            return
        self._checked_at = now
        ((position, slot_is_lost),) = self._ask(STATE)
        committed = self._client.source_lsn(SOURCE_CONNECTOR) or 0
        if slot_is_lost:
            self._read_again("the slot was given up: nobody had read it for too long")
        elif committed > position:
            self._read_again(f"the source is at {position} in its log, and was at {committed} before")

    def _read_again(self, why: str) -> None:
        log.warning("the source's table is read again: %s", why)
        self._client.stop(SOURCE_CONNECTOR)
        try:
            wait_until(lambda: self._client.is_stopped(SOURCE_CONNECTOR), f"{SOURCE_CONNECTOR} stopped", STOP_TIMEOUT_S)
            self._ask(DROP_LOST_SLOT)
            self._client.delete_offsets(SOURCE_CONNECTOR)
        finally:
            self._client.resume(SOURCE_CONNECTOR)
        READ_AGAIN.inc()

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        connection = connect(self._source_url, "connect_reconciler", DATABASE_TIMEOUT_S, self._password)
        try:
            with closing(connection), connection, connection.cursor() as cursor:
                cursor.execute(query, (REPLICATION_SLOT,))
                return cursor.fetchall()
        except psycopg2.Error as error:
            raise UserError(f"{describe(self._source_url)}: {' '.join(str(error).split())}") from error
