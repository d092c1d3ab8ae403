"""Fill the source table at a steady rate: bulk-load the monday manifest once, then insert rows picked at random."""

import logging
import random
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from prometheus_client import Counter

from common.cli import UserError, run
from common.logs import configure_logging
from common.service import Health, serve_health, stop_event
from data_generate.manifests import Manifest, read_manifest
from data_generate.mixes import parse_mix, parse_schedule
from data_generate.pacing import Pace
from data_generate.row_sources import CargoRows, IrisRows, Row, RowSource
from data_generate.settings import Settings
from data_generate.source_database import SourceDatabase, Stopped

log = logging.getLogger(__name__)
INSERTED = Counter("data_generator_rows_inserted", "Rows committed to the source database.", ["dataset"])

BULK_DATASET = "monday"
"""The reference data: its manifest is loaded whole before the first row is streamed."""
TICK_S = 0.01
"""Shortest time from one insert to the next: at high rates several rows share a transaction."""
BATCH_ROWS = 1000

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


class Table(StrEnum):
    """What can be filled."""

    cargo = "cargo"
    iris = "iris"


class Database(Protocol):
    """What the stream needs of the database; see `SourceDatabase`."""

    def insert(self, table: str, columns: tuple[str, ...], rows: list[Row]) -> None:
        """Insert rows; returns once they are committed."""


def stream(
    database: Database,
    source: RowSource,
    rate: float,
    burst: int,
    count: int | None,
    stop: threading.Event,
    beat: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Insert `burst` rows at once, then `rate` rows a second; end after `count` rows, or on `stop`.

    Without a rate it ends after the burst. Returns the number of rows inserted.
    """
    start_s = clock()
    pace = Pace(rate) if rate else None
    inserted = 0
    while not stop.is_set():
        beat()
        elapsed_s = clock() - start_s
        in_burst = inserted < burst
        due = burst - inserted if in_burst else pace.due(elapsed_s) if pace else 0
        if count is not None:
            due = min(due, count - inserted)
        rows = source.pick(min(due, BATCH_ROWS), elapsed_s)
        if rows:
            database.insert(source.table, source.columns, rows)
            inserted += len(rows)
            for row in rows:
                INSERTED.labels(source.origin(row)).inc()
            if pace and not in_burst:
                pace.take(len(rows))
        if inserted == count or (pace is None and inserted >= burst):
            break
        if inserted >= burst and pace:
            # A second at most, so that the heartbeat goes on at rates below one row a second.
            stop.wait(min(max(pace.wait_s(clock() - start_s), TICK_S), 1.0))
    return inserted


@app.command()
def main(
    table: Annotated[Table, typer.Option(help="Which table to fill.")] = Table.cargo,
    rate: Annotated[
        float | None, typer.Option(help="Rows a second; 0 = end after the bulk load and the burst. 1 unless set.")
    ] = None,
    burst: Annotated[int, typer.Option(min=0, help="Rows to insert at once, before the rate begins.")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="End after this many rows, the bulk load apart.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Pick from this data set only; short for --mix NAME.")] = None,
    mix: Annotated[
        str | None, typer.Option(help="Fractions by data set: monday=0.2,tuesday=0.8. monday unless set.")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="Later mixes by seconds since the start: '60:monday=0.5,tuesday=0.5;120:tuesday'"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Make the picks repeatable.")] = None,
) -> None:
    """Insert rows into the source table until told to stop. Never drops anything; a restart goes on."""
    configure_logging()
    if dataset is not None and mix is not None:
        raise UserError("--dataset and --mix say the same thing: give one of them.")
    if table is Table.iris and (dataset or mix or schedule):
        raise UserError("--dataset, --mix and --schedule are for the table cargo; leave them out with --table iris.")
    options = {"rate": rate, "mix": mix if dataset is None else dataset, "schedule": schedule, "seed": seed}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    settings = Settings(**given)

    chance = random.Random(settings.seed)  # noqa: S311 - picks of a demonstration
    source: RowSource
    bulk: Manifest | None = None
    if table is Table.iris:
        source, schema = IrisRows(chance), "iris_schema.sql"
    else:
        plan = parse_schedule(parse_mix(settings.mix), settings.schedule)
        names = {BULK_DATASET, *plan.datasets()}
        manifests = {name: read_manifest(settings.manifest_dir, name) for name in sorted(names)}
        source, schema, bulk = CargoRows(manifests, plan, chance), "schema.sql", manifests[BULK_DATASET]

    stop = stop_event()
    health = Health(settings.heartbeat_file)
    health.lacks("database", "not connected yet")
    serve_health(health, settings.health_host, settings.health_port)
    database = SourceDatabase(settings.source_database_url, health, stop)
    try:
        database.prepare(source.table, Path(__file__).with_name(schema))
        if bulk:
            loaded = database.load_once(bulk)
            INSERTED.labels(bulk.dataset).inc(loaded)
            log.info("bulk load of %s: %s", bulk.dataset, f"{loaded} rows" if loaded else "done before")
        log.info("inserting %g rows/s into %s", settings.rate, source.table)
        log.info("inserted %d rows", stream(database, source, settings.rate, burst, count, stop, health.beat))
    except Stopped:
        log.info("stopped while the database was away")
    finally:
        database.close()


if __name__ == "__main__":
    run(app)
