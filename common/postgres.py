"""Connections to PostgreSQL that wait for the server, and schemas that may be applied again and again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from common.cli import UserError
from common.waiting import STARTUP_TIMEOUT_S, retry_for

__all__ = ["Connection", "Role", "apply_roles", "apply_schema", "connect", "describe"]

log = logging.getLogger(__name__)

SCHEMA_LOCK = "select pg_advisory_xact_lock(hashtext('cargo schema'))"
"""Lets several services apply a schema at once: `create table if not exists` alone can collide."""


@dataclass(frozen=True)
class Role:
    """A login role of one service. `attributes` are PostgreSQL's own words, such as `replication`."""

    name: str
    password: str = field(repr=False)
    attributes: str = ""


def describe(url: str) -> str:
    """`url` as host:port/database, without user and password, for messages."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5432}{parts.path}"


def connect(url: str, application: str, timeout_s: float = STARTUP_TIMEOUT_S) -> Connection:
    """Connect, waiting up to `timeout_s` for the server. `UserError` when it never answers.

    Keepalives and `tcp_user_timeout` end a connection whose server vanished within about 10 s instead of hours.
    """
    try:
        connection: Connection = retry_for(timeout_s, f"database {describe(url)}", psycopg2.OperationalError)(
            psycopg2.connect,
            url,
            application_name=application,
            connect_timeout=5,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10000,
        )
        return connection
    except psycopg2.OperationalError as error:
        raise UserError(
            f"database {describe(url)} cannot be reached: {str(error).strip()}. Start it, or set the address."
        ) from error


def apply_schema(connection: Connection, schema: Path) -> None:
    """Run an idempotent SQL file in one transaction."""
    with connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA_LOCK)
        cursor.execute(schema.read_text())


def apply_roles(connection: Connection, roles: Sequence[Role], grants: Path) -> None:
    """Make the services' login roles, set their passwords, and run the file that says what each may do.

    Where this connection's own role may not make roles, it leaves everything as it is and says so.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA_LOCK)
        cursor.execute("select rolsuper or rolcreaterole from pg_roles where rolname = current_user")
        if cursor.fetchone() != (True,):
            log.warning("no roles made for single services: this user may not; they can use its own")
            return
        for role in roles:
            cursor.execute("select from pg_roles where rolname = %s", (role.name,))
            statement = sql.SQL("{} role {} login {} password %s").format(
                sql.SQL("alter" if cursor.rowcount else "create"),
                sql.Identifier(role.name),
                sql.SQL(role.attributes),  # a constant of ours
            )
            cursor.execute(statement, (role.password,))
        cursor.execute(grants.read_text())
