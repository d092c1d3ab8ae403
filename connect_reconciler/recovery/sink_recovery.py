"""Brings a failed sink back: by a restart where it stumbled, by stepping over where a message is refused."""

import logging
from collections.abc import Callable
from typing import TypeAlias

import psycopg2
from kafka.errors import KafkaError
from prometheus_client import Counter

from common.broker_address import BrokerUnavailable
from common.cli import UserError
from common.names import SINK_CONNECTOR
from common.postgres import Connection, connect
from connect_reconciler.connect_client import ConnectClient, Offsets
from connect_reconciler.recovery.refused_messages import STATEMENT_TIMEOUT_MS, SkipResult, skip_refused_messages

log = logging.getLogger(__name__)

TARGET_TIMEOUT_S = 1.0

TAKEN_OVER = Counter("sink_messages_taken_over_total", "Messages that the reconciler placed instead of the sink")
REFUSED = Counter("sink_messages_refused_total", "Messages that the target refused, now dead letters")


SkipRefusedMessages: TypeAlias = Callable[[ConnectClient, str, Connection], SkipResult]


class TargetUnavailable(Exception):
    """The target database cannot take rows: neither a restart nor stepping over would help."""


class SinkRecovery:
    """Remembers where the sink stood at its last restart: failing there again, it does so because of a message."""

    def __init__(
        self,
        client: ConnectClient,
        bootstrap_servers: str,
        target_url: str,
        skip: SkipRefusedMessages = skip_refused_messages,
    ) -> None:
        self._client = client
        self._bootstrap_servers = bootstrap_servers
        self._target_url = target_url
        self._skip = skip
        self._restarted_at: Offsets | None = None

    def check_target(self) -> None:
        """Raise `TargetUnavailable` while the target's table cannot be read."""
        self._target().close()

    def recover(self, cause: str) -> bool:
        """Restart the sink or step over; return whether refused messages were put aside, so that it can go on.

        Raises `TargetUnavailable` or `ConnectUnavailable` with nothing lost.
        """
        stands_at = self._client.sink_offsets(SINK_CONNECTOR)
        if stands_at != self._restarted_at:
            log.warning("restarting %s: %s", SINK_CONNECTOR, cause)
            self._client.restart_failed(SINK_CONNECTOR)
            self._restarted_at = stands_at
            return False
        target = self._target()
        try:
            taken = self._skip(self._client, self._bootstrap_servers, target)
        except (psycopg2.Error, KafkaError, BrokerUnavailable, UserError) as error:
            log.warning("%s the batch of the sink could not be written: %s", SINK_CONNECTOR, error)
            return False
        finally:
            target.close()
        TAKEN_OVER.inc(taken.messages)
        REFUSED.inc(taken.refused)
        return taken.refused > 0

    def _target(self) -> Connection:
        try:
            connection = connect(self._target_url, "connect_reconciler", TARGET_TIMEOUT_S)
        except UserError as error:
            raise TargetUnavailable(str(error)) from error
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("set local statement_timeout = %s", (STATEMENT_TIMEOUT_MS,))
                cursor.execute("select from cargo limit 0")
        except psycopg2.Error as error:
            connection.close()
            raise TargetUnavailable(f"the target's table cargo cannot be read: {str(error).strip()}") from error
        return connection
