"""Connections to PostgreSQL that wait for the server, and schemas that may be applied again and again."""

from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import connection as Connection

from common.cli import UserError
from common.waiting import STARTUP_TIMEOUT_S, retrying

__all__ = ["Connection", "apply_schema", "connect", "describe"]


def describe(url: str) -> str:
    """`url` as host:port/database, without user and password, for messages."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5432}{parts.path}"


def connect(url: str, application: str, timeout_s: float = STARTUP_TIMEOUT_S) -> Connection:
    """Connect, waiting up to `timeout_s` for the server. `UserError` when it never answers.

    Keepalives and `tcp_user_timeout` end a connection whose server vanished within about 10 s instead of hours.
    """
    try:
        for attempt in retrying(f"database {describe(url)}", psycopg2.OperationalError, timeout_s):
            with attempt:
                return psycopg2.connect(
                    url,
                    application_name=application,
                    connect_timeout=5,
                    keepalives_idle=5,
                    keepalives_interval=2,
                    keepalives_count=3,
                    tcp_user_timeout=10000,
                )
    except psycopg2.OperationalError as error:
        raise UserError(
            f"database {describe(url)} cannot be reached: {str(error).strip()}. Start it, or set the address."
        ) from error
    raise AssertionError("retrying either returns or raises")


def apply_schema(connection: Connection, schema: Path) -> None:
    """Run an idempotent SQL file in one transaction.

    The advisory lock lets several services apply it at once: `create table if not exists` alone can collide.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtext('cargo schema'))")
        cursor.execute(schema.read_text())
