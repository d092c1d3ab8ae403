"""The source database's tables, and what of them the source connector receives."""

from contextlib import closing
from pathlib import Path

from common.migrations import Schema, migrate
from common.postgres import connect
from common.waiting import STARTUP_TIMEOUT_S

FOLDER = Path(__file__).parent.parent

SCHEMA = Schema(
    FOLDER / "source_migrations",
    ("cargo", "cargo_load", "generator_command", "cargo_label_due", "dbz_heartbeat", "iris_data"),
)


def create(url: str, application: str, timeout_s: float = STARTUP_TIMEOUT_S) -> list[str]:
    """Make what is missing, as the database's owner; the steps that were run. `UserError`, `psycopg2.Error`."""
    steps = migrate(url, SCHEMA, application, timeout_s)
    with closing(connect(url, application, timeout_s)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtext('cargo publication'))")
        cursor.execute((FOLDER / "publication.sql").read_text())
    return steps
