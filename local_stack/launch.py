"""The launchers of the services that are no Python programs of ours: each prepares its state, then becomes the service.

`exec` makes the service itself the supervisor's child, so a signal reaches it and nothing is left behind.
"""

import logging
import os
from pathlib import Path

import typer

from common.cli import run
from common.logs import configure_logging
from local_stack.processes import kafka_processes, object_store, postgres
from local_stack.settings import Settings

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


def _become(command: list[str], environment: dict[str, str] | None = None) -> None:
    log.info("starting %s", Path(command[0]).name)
    os.execve(command[0], command, {**os.environ, **(environment or {})})  # noqa: S606 - the launcher's very purpose


@app.command()
def source_postgres() -> None:
    """The database that rows are inserted into."""
    command = postgres.prepare(postgres.SOURCE, Settings().state_dir)
    _become(command)


@app.command()
def target_postgres() -> None:
    """The database of the replica and the predictions; it also keeps the registry's records."""
    command = postgres.prepare(postgres.TARGET, Settings().state_dir)
    _become(command)


@app.command()
def broker() -> None:
    """One Kafka node, broker and controller in one process."""
    _become(kafka_processes.prepare_broker(Settings().state_dir / "broker"))


@app.command()
def connect() -> None:
    """The Kafka Connect worker with both Debezium connectors."""
    _become(*kafka_processes.prepare_connect(Settings().state_dir / "connect"))


@app.command(name="object-store")
def s3() -> None:
    """SeaweedFS with its S3 server."""
    _become(object_store.prepare(Settings().state_dir / "object-store"))


if __name__ == "__main__":
    configure_logging()
    run(app)
