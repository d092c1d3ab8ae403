"""Connections to PostgreSQL that wait for the server, and the login roles of the services."""

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

__all__ = ["Connection", "Role", "apply_roles", "connect", "describe"]

log = logging.getLogger(__name__)

ROLES_LOCK = "select pg_advisory_xact_lock(hashtext('cargo roles'))"
"""Lets several services make roles at once: `create role` alone can collide."""


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


LOCK_TIMEOUT_S = 5
"""A table that somebody has locked holds nobody for longer at once: a service hears in between that it shall end."""

STATEMENT_TIMEOUT_S = 300
"""Longer than any statement of ours takes, a bulk load on a slow machine included."""


def connect(
    url: str,
    application: str,
    timeout_s: float = STARTUP_TIMEOUT_S,
    password: str | None = None,
    idle_in_transaction_timeout_s: int = 0,
) -> Connection:
    """Connect, waiting up to `timeout_s` for the server. `UserError` when it never answers.

    A `password` is used in place of the address's own. No statement waits longer than `LOCK_TIMEOUT_S` for a lock or
    takes longer than `STATEMENT_TIMEOUT_S`; a transaction in which nothing happens for
    `idle_in_transaction_timeout_s` is ended by the server (0 = never).

    Keepalives and `tcp_user_timeout` end a connection whose server vanished within about 10 s instead of hours.
    """
    try:
        connection: Connection = retry_for(timeout_s, f"database {describe(url)}", psycopg2.OperationalError)(
            psycopg2.connect,
            url,
            application_name=application,
            **({"password": password} if password is not None else {}),
            connect_timeout=5,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10000,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "select set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', %s, false)",
                [f"{s}s" for s in (LOCK_TIMEOUT_S, STATEMENT_TIMEOUT_S, idle_in_transaction_timeout_s)],
            )
        return connection
    except psycopg2.OperationalError as error:
        raise UserError(
            f"database {describe(url)} cannot be reached: {str(error).strip()}. Start it, or set the address."
        ) from error


def apply_roles(connection: Connection, roles: Sequence[Role], grants: Path) -> None:
    """Make the services' login roles, set their passwords, and run the file that says what each may do.

    Where this connection's own role may not make roles, it leaves everything as it is and says what to do.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(ROLES_LOCK)
        cursor.execute("select rolsuper or rolcreaterole from pg_roles where rolname = current_user")
        if cursor.fetchone() != (True,):
            log.warning(
                "no roles made for single services: this user may not. They can use its own; or have somebody who may "
                "make them and run %s",
                grants.name,
            )
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
