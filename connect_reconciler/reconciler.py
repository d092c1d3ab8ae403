"""Keeps Kafka's topics and Connect's connectors as the files in `kafka/` say, for as long as it runs."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import psycopg2
import typer
from kafka.errors import KafkaError
from prometheus_client import Counter

from common.cli import UserError, run
from common.logs import configure_logging
from common.names import SINK_CONNECTOR
from common.postgres import connect
from common.service import Health, serve_health, stop_event
from connect_reconciler.connect_client import ConnectClient, ConnectorStatus, ConnectUnavailable
from connect_reconciler.restarts import RestartBudget
from connect_reconciler.settings import Settings
from connect_reconciler.step_over import step_over
from connect_reconciler.topics import ensure_topics

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)

TOPICS_CHECKED_EVERY_S = 30.0

RESTARTS = Counter("connector_restarts_total", "Restarts of failed connectors", ["connector"])
REWRITES = Counter("connector_rewrites_total", "Connectors created or set back to their file", ["connector"])
STEPPED_OVER = Counter("connector_messages_stepped_over_total", "Messages that the target refused")


def wanted_connectors(folder: Path) -> dict[str, dict[str, str]]:
    """Configuration by name, from the files that `curl` can post as well."""
    wanted = {}
    for file in sorted(folder.glob("*_connector.json")):
        try:
            described = json.loads(file.read_text())
            wanted[described["name"]] = dict(described["config"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f'{file} is not of the form {{"name": …, "config": {{…}}}}: {error}') from error
    if not wanted:
        raise UserError(f"{folder} holds no *_connector.json")
    return wanted


class Reconciler:
    """One `turn` looks at everything and puts right what it can; what it cannot is on `/readyz`."""

    def __init__(
        self, settings: Settings, connect: ConnectClient, wanted: Mapping[str, dict[str, str]], health: Health
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._wanted = wanted
        self._health = health
        self._budgets = {name: RestartBudget(settings.restarts, settings.restart_window_s) for name in wanted}
        self._topics_checked: float | None = None

    def turn(self, now: float) -> None:
        """Never raises for what is merely away."""
        self._health.beat()
        try:
            self._check_topics(now)
            self._health.has("broker")
        except (KafkaError, OSError) as error:
            self._health.lacks("broker", f"{type(error).__name__}: {error}")
            return
        try:
            present = self._connect.connectors()
            self._health.has("connect")
        except ConnectUnavailable as error:
            self._health.lacks("connect", str(error))
            return
        for name, config in self._wanted.items():
            try:
                self._check_connector(name, config, present.get(name), now)
            except ConnectUnavailable as error:
                self._health.lacks(name, str(error))
            except httpx.HTTPStatusError as error:
                # Connect refuses the file itself: trying again is all one can do until someone mends it.
                self._health.lacks(name, f"Connect refuses it: {error.response.text[:500]}")

    def _check_topics(self, now: float) -> None:
        if self._topics_checked is None or now - self._topics_checked >= TOPICS_CHECKED_EVERY_S:
            if created := ensure_topics(self._settings.kafka_bootstrap_servers):
                log.info("created the topics %s", ", ".join(created))
            self._topics_checked = now

    def _check_connector(
        self, name: str, config: Mapping[str, str], status: ConnectorStatus | None, now: float
    ) -> None:
        if status is None or status.config != config:
            self._connect.put_config(name, config)
            log.info("%s %s", "created" if status is None else "set back", name)
            REWRITES.labels(name).inc()
            self._health.lacks(name, "just written")
        elif status.failed:
            self._mend(name, status, now)
        elif status.state in {"STOPPED", "PAUSED"}:
            self._connect.resume(name)
            log.info("resumed %s", name)
        elif status.running:
            self._budgets[name].seen_running(now)
            self._health.has(name)
        else:
            self._health.lacks(name, f"{status.state}, tasks {list(status.task_states)}")

    def _mend(self, name: str, status: ConnectorStatus, now: float) -> None:
        budget = self._budgets[name]
        reason = status.cause
        if not budget.may_restart(now):
            if budget.exhausted(now):
                reason = f"restarted {self._settings.restarts} times in vain; next try later: {reason}"
            self._health.lacks(name, reason)
            return
        self._health.lacks(name, reason)
        failed_again = budget.in_a_row > 0
        budget.restarted(now)
        RESTARTS.labels(name).inc()
        if name == SINK_CONNECTOR and failed_again:
            self._step_over(reason)
        else:
            log.warning("restarting %s: %s", name, reason)
            self._connect.restart_failed(name)

    def _step_over(self, reason: str) -> None:
        """A restart did not help: either the target refuses a message, or it is away."""
        try:
            target = connect(self._settings.target_database_url, "connect_reconciler", timeout_s=1)
        except UserError:
            log.warning("restarting %s, whose database is away: %s", SINK_CONNECTOR, reason)
            self._connect.restart_failed(SINK_CONNECTOR)
            return
        try:
            STEPPED_OVER.inc(step_over(self._connect, self._settings.kafka_bootstrap_servers, target))
        except (psycopg2.Error, KafkaError, UserError) as error:
            log.warning("%s could not be taken over: %s", SINK_CONNECTOR, error)
        finally:
            target.close()


@app.command()
def main() -> None:
    """Keep topics and connectors as the files in `kafka/` say, until SIGTERM."""
    configure_logging()
    settings = Settings()
    wanted = wanted_connectors(settings.files)
    stop = stop_event()
    # Taking a batch over may last longer than a turn should.
    health = Health(stale_after_s=180)
    health.lacks("connect", "not looked at yet")
    serve_health(health, settings.health_host, settings.health_port)
    client = ConnectClient(settings.connect_url)
    reconciler = Reconciler(settings, client, wanted, health)
    while not stop.is_set():
        reconciler.turn(time.monotonic())
        stop.wait(settings.interval_s)
    client.close()


if __name__ == "__main__":
    run(app)
