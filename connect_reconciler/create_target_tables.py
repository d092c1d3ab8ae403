"""Creates the target database's tables where they are missing, and ends."""

import logging

import typer

from common.cli import run
from common.logs import configure_logging
from common.postgres import apply_schema, connect, describe
from connect_reconciler.settings import Settings

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


@app.command()
def main() -> None:
    """Create the target database's tables where they are missing, and end."""
    configure_logging()
    settings = Settings()
    connection = connect(settings.target_database_url, "create_target_tables")
    try:
        apply_schema(connection, settings.files / "target_schema.sql")
    finally:
        connection.close()
    log.info("the tables of %s are there", describe(settings.target_database_url))


if __name__ == "__main__":
    run(app)
