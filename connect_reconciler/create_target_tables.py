"""Creates the target database's tables and roles where they are missing."""

import logging
import threading
from contextlib import closing
from typing import Annotated

import psycopg2
import typer

from common.cli import UserError, run
from common.health.server import serve_health
from common.health.state import Health, stop_event
from common.logs import configure_logging
from common.migrations import migrate, pending
from common.postgres import Role, apply_roles, connect, describe
from common.secret_files import read_secret
from common.waiting import STARTUP_TIMEOUT_S
from connect_reconciler import target_tables
from connect_reconciler.settings import Settings

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)

APPLICATION = "create_target_tables"
POLL_INTERVAL_S = 15.0


def create_tables(settings: Settings, timeout_s: float) -> None:
    """Wait up to `timeout_s` for the database and create what is missing. Needs the database's owner."""
    roles = (
        Role("sinkuser", read_secret(settings.sink_password_file)),
        Role("reconcileruser", settings.password.get_secret_value()),
        Role("writeruser", settings.writer_password.get_secret_value()),
        Role("monitoruser", settings.monitor_password.get_secret_value()),
        Role("adapteruser", settings.adapter_password.get_secret_value()),
        Role("dashboardreader", settings.dashboard_password.get_secret_value()),
    )
    steps = migrate(settings.target_database_url, target_tables.SCHEMA, APPLICATION, timeout_s)
    with closing(connect(settings.target_database_url, APPLICATION, timeout_s)) as connection:
        apply_roles(connection, roles, settings.files / "target_roles.sql")
    database = describe(settings.target_database_url)
    log.info("the tables of %s are there; migrations that were missing: %s", database, ", ".join(steps) or "none")


def keep_tables(settings: Settings, health: Health, stop: threading.Event) -> None:
    """Create them, and again in a database that took the former one's place, until told to stop.

    Looking changes nothing: a statement that defines tables would hold up those who write to them.
    """
    done_before = False
    while not stop.is_set():
        health.beat()
        try:
            if not done_before or pending(settings.target_database_url, target_tables.SCHEMA, APPLICATION):
                create_tables(settings, 0)
            done_before = True
            health.mark_available("tables")
        except (UserError, psycopg2.Error) as error:
            health.mark_missing("tables", " ".join(str(error).split()))
        # While something is missing others wait for it.
        stop.wait(POLL_INTERVAL_S if health.ready()[0] else 1.0)


@app.command(help=__doc__)
def main(
    stay: Annotated[
        bool, typer.Option("--stay", help="Look again every 15 s, so that a database that was replaced gets them too.")
    ] = False,
) -> None:
    """Create them, and end unless told to stay."""
    configure_logging()
    settings = Settings()
    if not stay:
        create_tables(settings, STARTUP_TIMEOUT_S)
        return
    stop = stop_event()
    health = Health(stale_after_s=4 * POLL_INTERVAL_S)
    health.mark_missing("tables", "not checked yet")
    serve_health(health, settings.health_host, settings.health_port)
    keep_tables(settings, health, stop)


if __name__ == "__main__":
    run(app)
