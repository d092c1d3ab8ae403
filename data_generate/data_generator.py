"""Fill the source table: bulk-load the monday manifest once, then insert rows at a rate that can be steered."""

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from common.cli import UserError, run
from common.health.server import serve_health
from common.health.state import Health, stop_event
from common.logs import configure_logging
from common.waiting import Stopped
from data_generate.control.command_poller import CommandPoller
from data_generate.control.stream_settings import Rules, StreamSettings
from data_generate.rows.manifests import Manifest, read_manifest
from data_generate.rows.mixes import Mix, Schedule, parse_mix, parse_schedule
from data_generate.rows.row_sources import CargoRows, IrisRows
from data_generate.settings import Settings
from data_generate.streaming.back_pressure import BackPressure
from data_generate.streaming.source_database import SourceDatabase
from data_generate.streaming.stream import INSERTED, Stream

log = logging.getLogger(__name__)

BULK_DATASET = "monday"
"""The reference data: its manifest is loaded whole before the first row is streamed."""

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


class Table(StrEnum):
    """What can be filled."""

    cargo = "cargo"
    iris = "iris"


def cargo_rows(settings: Settings, plan: Schedule) -> tuple[CargoRows, Manifest, Callable[[Mix], None]]:
    """The rows of every data set that the plan names; the bulk load; and what lets other data sets be picked."""
    names = sorted({BULK_DATASET, *plan.datasets()})
    manifests = {name: read_manifest(settings.manifest_dir, name) for name in names}
    source = CargoRows(manifests.values(), settings.seed)

    def check_mix(mix: Mix) -> None:
        for name in mix:
            if not source.knows(name):
                source.add(read_manifest(settings.manifest_dir, name))

    return source, manifests[BULK_DATASET], check_mix


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

    plan = parse_schedule(parse_mix(settings.mix), settings.schedule)
    stop = stop_event()
    health = Health(settings.heartbeat_file)
    source, bulk, check_mix = (
        (IrisRows(settings.seed), None, None) if table is Table.iris else cargo_rows(settings, plan)
    )
    flow_control = None
    # The topic carries the rows of cargo only.
    if settings.subscriber_url and table is Table.cargo:
        flow_control = BackPressure(str(settings.subscriber_url), settings.max_open_rows, health, stop)

    health.mark_missing("database", "not connected yet")
    serve_health(health, settings.health_host, settings.health_port)
    database = SourceDatabase(settings.source_database_url, health, stop)
    base = StreamSettings(settings.rate, plan)
    # Without a rate it does what it was told at the start, and ends.
    settings_at = (
        CommandPoller(database, Rules(base, check_mix), health).current_settings if base.rate else lambda _: base
    )
    try:
        database.prepare()
        if bulk:
            loaded = database.load_once(bulk)
            INSERTED.labels(bulk.dataset).inc(loaded)
            log.info("bulk load of %s: %s", bulk.dataset, f"{loaded} rows" if loaded else "done before")
            if flow_control:
                flow_control.start(loaded)
        log.info("inserting %s into %s", base, source.table)
        stream = Stream(database, source, settings_at, flow_control, stop, health.beat)
        log.info("inserted %d rows", stream.run(burst, count))
    except Stopped:
        log.info("stopped while the database was unavailable")
    finally:
        database.close()


if __name__ == "__main__":
    run(app)
