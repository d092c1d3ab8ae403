"""Answers one alarm: trains a challenger on the drifted period, and lets it take the champion's place if it is better.

Begun before the alarm is confirmed, it makes itself ready and waits; it ends quietly when the alarm does.

One run at a time, over all processes and hosts. Exits with 0 when the run came to an end, whatever its result: that is
in table adaptation. Exits with 1 when it could not begin or was cut off; `adapter.py` tries again.
"""

import logging
import signal
import sys
import time
from collections.abc import Iterator
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
from model_registry.adaptation.adaptation_table import Alarm, Outcome, Run, adaptation_lock, is_confirmed, read_alarm
from model_registry.adaptation.challenger import chosen_recipe, evaluate_challenger, read_champion, train_challenger
from model_registry.adaptation.preparation import Preparation
from model_registry.data.content_hash import content_hash
from model_registry.data.dataset import wait_for_rows
from model_registry.data.days import CLEAN
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.settings import Settings
from model_registry.versions.promotion import promote
from model_registry.versions.registration import register
from model_registry.versions.registry_client import Registry, connect, mlflow_errors_as_user_errors

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)

WHO = "model-adapter"

POLL_INTERVAL_S = 0.2
"""Between two looks whether an alarm is confirmed."""


def adapt_to_alarm(connection: Connection, registry: Registry, alarm: Alarm, settings: Settings) -> Outcome | None:
    """One run from its beginning to an outcome; None for an alarm that is over before it is confirmed.

    `UserError` when it cannot begin; others cut it off. The lock must be held by `connection`, which every step is
    written with: a run that lost the one lost the other.
    """
    embeddings = EmbeddingSource(settings.embedding_cache, content_hash)
    with closing(connect_database(settings.source_database_url, "model-adapter", settings.wait_timeout_s)) as source:
        clean_rows = wait_for_rows(source, CLEAN, settings.wait_timeout_s)
    champion = read_champion(registry, settings.image_root, embeddings)
    if champion.version != alarm.model_version:
        raise UserError(f"alarm {alarm.id} is about version {alarm.model_version}; {champion.version} serves now")
    recipe = chosen_recipe(settings, champion.seed)
    log.info("ready; alarm %d must last %.1f s", alarm.id, settings.adapt_confirm_s)
    if not _confirmed(connection, alarm, settings.adapt_confirm_s):
        log.info("alarm %d is over already: nothing is trained", alarm.id)
        return None
    record = Run(connection, alarm.id)
    record.begin(champion.version, recipe.strategy)
    try:
        preparation = Preparation(connection, alarm, champion, clean_rows, settings, embeddings)
        outcome, reason = _train_and_evaluate(record, registry, preparation)
    except UserError as error:
        outcome, reason = "failed", str(error)
    except SystemExit:
        record.record_stop()
        raise
    except (MlflowException, requests.RequestException) as error:
        record.record_interruption(f"MLflow request failed: {str(error).strip().splitlines()[0]}")
        raise
    record.finish(outcome, reason)
    log.info("alarm %d, version %s: %s. %s", alarm.id, champion.version, outcome, reason)
    return outcome


def _confirmed(connection: Connection, alarm: Alarm, confirm_s: float) -> bool:
    while (lasting := is_confirmed(connection, alarm.id, confirm_s)) is None:
        time.sleep(POLL_INTERVAL_S)
    return lasting


def _train_and_evaluate(record: Run, registry: Registry, preparation: Preparation) -> tuple[Outcome, str]:
    champion, settings, embeddings = preparation.champion, preparation.settings, preparation.embeddings
    with _timed(record, "collecting"):
        drifted_rows = preparation.collect(record)
    record.training(len(drifted_rows))
    with _timed(record, "training"):
        trained = train_challenger(champion, preparation.prepared_day, drifted_rows, settings, embeddings)
        log.info("%s", embeddings.describe_counts())
    with _timed(record, "registering"):
        version = register(registry, trained)
        registry.client.set_registered_model_alias(registry.model_name, CHALLENGER, version.version)
    record.judging(str(version.version))
    with _timed(record, "judging"):
        verdict = evaluate_challenger(registry, champion, version, trained, settings, embeddings)
    record.judged(verdict.figures)
    reason = "; ".join(verdict.reasons)
    if not verdict.passed:
        return "rejected", reason
    serving = registry.champion()
    if serving is None or str(serving.version) != champion.version:
        return "rejected", f"version {serving and serving.version} became the champion in the meantime. {reason}"
    promote(registry, str(version.version), WHO, f"alarm {preparation.alarm.id}: {reason}")
    return "promoted", reason


@contextmanager
def _timed(record: Run, step: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    record.took(step, seconds)
    log.info("%s took %.1f s", step, seconds)


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
        mlflow_errors_as_user_errors(),
    ):
        connection.autocommit = True
        try:
            with adaptation_lock(connection, model_name) as alone:
                if not alone:
                    raise UserError(f"another run adapts {model_name} right now")
                registry = connect(settings.tracking_uri, model_name, settings.wait_timeout_s)
                adapt_to_alarm(connection, registry, read_alarm(connection, alarm), settings)
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"the database connection was lost, and with it the lock: {reason}") from error


if __name__ == "__main__":
    run(app)
