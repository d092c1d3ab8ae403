"""Answers one alarm: trains a challenger on the drifted period, and lets it take the champion's place if it is better.

One run at a time, over all processes and hosts. Exits with 0 when the run came to an end, whatever its result: that is
in table adaptation. Exits with 1 when it could not begin or was cut off; `adapter.py` tries again.
"""

import logging
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Annotated

import psycopg2
import requests
import typer
from mlflow.exceptions import MlflowException

from common.cli import UserError, run
from common.logs import configure_logging
from common.names import CHALLENGER, MODEL_NAME
from common.postgres import Connection
from common.postgres import connect as connect_database
from model_registry.adaptation import Alarm, Outcome, Run, only_run, read_alarm
from model_registry.challenge import Champion, chosen_recipe, judge_challenger, read_champion, train_challenger
from model_registry.collecting import collect
from model_registry.dataset import LabelledImage, wait_for_rows
from model_registry.days import CLEAN, DRIFTED
from model_registry.embeddings import embed
from model_registry.promotion import promote
from model_registry.registry import Registry, connect, plain_errors
from model_registry.save_model_to_registry import register
from model_registry.settings import Settings

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)

WHO = "model-adapter"


def answer(connection: Connection, registry: Registry, alarm: Alarm, settings: Settings) -> Outcome:
    """One run from its beginning to an outcome. `UserError` when it cannot begin; others cut it off.

    The lock must be held by `connection`, which every step is written with: a run that lost the one lost the other.
    """
    with closing(connect_database(settings.source_database_url, "model-adapter", settings.wait_timeout_s)) as source:
        clean_rows = wait_for_rows(source, CLEAN, settings.wait_timeout_s)
    champion = read_champion(registry, settings.image_root)
    if champion.version != alarm.model_version:
        raise UserError(f"alarm {alarm.id} is about version {alarm.model_version}; {champion.version} serves now")
    record = Run(connection, alarm.id)
    record.begin(champion.version, chosen_recipe(settings, champion.seed).strategy)
    try:
        outcome, reason = _carry_out(record, connection, registry, champion, alarm, clean_rows, settings)
    except UserError as error:
        outcome, reason = "failed", str(error)
    except SystemExit:
        record.put_off()
        raise
    except (MlflowException, requests.RequestException) as error:
        record.cut_off(f"MLflow could not do it: {str(error).strip().splitlines()[0]}")
        raise
    record.finish(outcome, reason)
    log.info("alarm %d, version %s: %s. %s", alarm.id, champion.version, outcome, reason)
    return outcome


def _carry_out(
    record: Run,
    connection: Connection,
    registry: Registry,
    champion: Champion,
    alarm: Alarm,
    clean_rows: Sequence[LabelledImage],
    settings: Settings,
) -> tuple[Outcome, str]:
    with _timed("collecting"):
        drifted_rows = collect(
            connection, alarm.first_id, settings, lambda images: _work_ahead(champion, images, settings)
        )
    record.training(len(drifted_rows))
    with _timed("training"):
        trained = train_challenger(champion, clean_rows, drifted_rows, settings)
    with _timed("registering"):
        version = register(registry, trained)
        registry.client.set_registered_model_alias(registry.model_name, CHALLENGER, version.version)
    record.judging(str(version.version))
    with _timed("judging"):
        verdict = judge_challenger(registry, champion, version, trained, settings)
    record.judged(verdict.figures)
    reason = "; ".join(verdict.reasons)
    if not verdict.passed:
        return "rejected", reason
    serving = registry.champion()
    if serving is None or str(serving.version) != champion.version:
        return "rejected", f"version {serving and serving.version} became the champion meanwhile. {reason}"
    promote(registry, str(version.version), WHO, f"alarm {alarm.id}: {reason}")
    return "promoted", reason


def _work_ahead(champion: Champion, images: Sequence[LabelledImage], settings: Settings) -> None:
    """Use the time of waiting: what is embedded and measured now is known later."""
    champion.measure_early(settings.image_root)
    files = [settings.image_root / DRIFTED / image.image_path for image in images]
    embed([file for file in files if file.is_file()], settings.embedding_cache)


@contextmanager
def _timed(step: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    log.info("%s took %.1f s", step, time.monotonic() - began)


@app.command(help=__doc__)
def main(
    alarm: Annotated[int, typer.Option(help="Its id in table drift_alarm.")],
    model_name: Annotated[str, typer.Option(help="Name the models are registered under.")] = MODEL_NAME,
) -> None:
    """Hold the lock, and answer the alarm."""
    configure_logging()
    # An exception instead of the sudden end: what was begun is put in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    settings = Settings()
    with (
        closing(
            connect_database(settings.target_database_url, "model-adapter-run", settings.wait_timeout_s)
        ) as connection,
        plain_errors(),
    ):
        connection.autocommit = True
        try:
            with only_run(connection, model_name) as alone:
                if not alone:
                    raise UserError(f"another run adapts {model_name} right now")
                registry = connect(settings.tracking_uri, model_name, settings.wait_timeout_s)
                answer(connection, registry, read_alarm(connection, alarm), settings)
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"the database went away, and with it the right to go on: {reason}") from error


if __name__ == "__main__":
    run(app)
