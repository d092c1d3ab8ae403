"""Creates the source database's tables, publication and roles where they are missing, and ends."""

import logging
from contextlib import closing
from pathlib import Path

import typer

from common.cli import run
from common.logs import configure_logging
from common.postgres import Role, apply_roles, connect, describe
from common.secret_files import read_secret
from data_generate.settings import Settings
from data_generate.streaming import source_tables

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main() -> None:
    """Run as the database's owner; the services then use roles of their own."""
    configure_logging()
    settings = Settings()
    folder = Path(__file__).parent
    roles = (
        Role("generatoruser", settings.generator_password.get_secret_value()),
        Role("cdcuser", read_secret(settings.cdc_password_file), "replication"),
        Role("traineruser", settings.trainer_password.get_secret_value()),
    )
    steps = source_tables.create(settings.source_database_url, "create_source_tables")
    log.info("migrations that were missing: %s", ", ".join(steps) or "none")
    with closing(connect(settings.source_database_url, "create_source_tables")) as connection:
        apply_roles(connection, roles, folder / "roles.sql")
    log.info("the tables of %s are there", describe(settings.source_database_url))


if __name__ == "__main__":
    run(app)
