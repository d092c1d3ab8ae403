"""Keeps Kafka's topics and Connect's connectors as the files in `kafka/` say, for as long as it runs."""

import logging
import time
from collections.abc import Mapping

import httpx
import typer
from kafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from common.broker_address import BrokerUnavailable
from common.cli import UserError, run
from common.health.server import serve_health
from common.health.state import Health, stop_event
from common.logs import configure_logging
from common.names import SINK_CONNECTOR
from common.secret_files import read_secret
from common.waiting import LONGEST_PAUSE_S, RetrySchedule
from connect_reconciler.connect_client import ConnectClient, ConnectorStatus, ConnectUnavailable
from connect_reconciler.connector_files import desired_connectors
from connect_reconciler.recovery.restarts import RestartLimit
from connect_reconciler.recovery.sink_recovery import SinkRecovery, TargetUnavailable
from connect_reconciler.recovery.source_recovery import SourceRecovery
from connect_reconciler.settings import Settings
from connect_reconciler.topics import ensure_topics

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)

TOPICS_CHECKED_EVERY_S = 30.0

RESTARTS = Counter("connector_restarts_total", "Attempts to bring a failed connector back", ["connector"])
REWRITES = Counter("connector_rewrites_total", "Connectors created or set back to their file", ["connector"])
GIVEN_UP = Gauge("connector_given_up", "1 while the restarts of the window are used up", ["connector"])


class Reconciler:
    """`run_once` looks at everything and puts right what it can; what it cannot is on `/readyz`."""

    def __init__(
        self,
        settings: Settings,
        connect: ConnectClient,
        wanted: Mapping[str, dict[str, str]],
        health: Health,
        sink: SinkRecovery,
        source: SourceRecovery,
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._wanted = wanted
        self._health = health
        self._sink = sink
        self._source = source
        self._limits = {name: RestartLimit(settings.restarts, settings.restart_window_s) for name in wanted}
        self._topics_checked: float | None = None

    def run_once(self, now: float) -> bool:
        """Return whether the broker and Connect answered; never raises because one of them is away."""
        self._health.beat()
        try:
            self.check_topics(now)
            self._health.mark_available("broker")
        except (BrokerUnavailable, KafkaError, OSError) as error:
            self._health.mark_missing("broker", f"{type(error).__name__}: {error}")
            return False
        try:
            present = self._connect.connectors()
            self._health.mark_available("connect")
        except (ConnectUnavailable, httpx.HTTPStatusError) as error:
            self._health.mark_missing("connect", str(error))
            return False
        self.check_connectors(present, now)
        self.check_source(now)
        return True

    def check_source(self, now: float) -> None:
        """Have a source whose log cannot be read on from where it was read again."""
        try:
            self._source.check(now)
            self._health.note("source", None)
        except (ConnectUnavailable, UserError, httpx.HTTPStatusError) as error:
            self._health.note("source", f"not known whether its log can be read on: {' '.join(str(error).split())}")

    def check_topics(self, now: float) -> None:
        """Create missing topics, looking only now and then."""
        if self._topics_checked is None or now - self._topics_checked >= TOPICS_CHECKED_EVERY_S:
            if created := ensure_topics(self._settings.kafka_bootstrap_servers):
                log.info("created the topics %s", ", ".join(created))
            self._topics_checked = now

    def check_connectors(self, present: Mapping[str, ConnectorStatus], now: float) -> None:
        """Put right every wanted connector that is missing, different, paused, stopped or failed."""
        for name, config in self._wanted.items():
            try:
                self._check_connector(name, config, present.get(name), now)
            except (ConnectUnavailable, TargetUnavailable) as error:
                self._health.mark_missing(name, str(error))
            except httpx.HTTPStatusError as error:
                # Connect refuses the file itself: trying again is all one can do until someone mends it.
                self._health.mark_missing(name, f"Connect refuses it: {error.response.text[:500]}")

    def _check_connector(
        self, name: str, config: Mapping[str, str], status: ConnectorStatus | None, now: float
    ) -> None:
        restarts = self._limits[name]
        if status is not None and status.running and status.config == config:
            restarts.seen_running(now)
            GIVEN_UP.labels(name).set(0)
            self._health.mark_available(name)
            return
        restarts.seen_down()
        if status is None or status.config != config:
            self._connect.put_config(name, config)
            log.info("%s %s", "created" if status is None else "set back", name)
            REWRITES.labels(name).inc()
            self._health.mark_missing(name, "just written")
        elif status.state in {"STOPPED", "PAUSED"}:
            self._connect.resume(name)
            log.info("resumed %s", name)
            self._health.mark_missing(name, f"was {status.state}, now resumed")
        elif status.failed:
            self._recover(name, status.cause, restarts, now)
        else:
            self._health.mark_missing(name, f"{status.state}, tasks {list(status.task_states)}")

    def _recover(self, name: str, cause: str, restarts: RestartLimit, now: float) -> None:
        given_up = restarts.exhausted(now)
        GIVEN_UP.labels(name).set(given_up)
        if given_up:
            cause = f"restarted {self._settings.restarts} times without success; next attempt later: {cause}"
        self._health.mark_missing(name, cause)
        if not restarts.may_restart(now):
            return
        if name != SINK_CONNECTOR:
            restarts.restarted(now)
            RESTARTS.labels(name).inc()
            log.warning("restarting %s: %s", name, cause)
            self._connect.restart_failed(name)
            return
        # While the target is away no restart is spent: its outage may be long, and the sink is back at once after it.
        self._sink.check_target()
        restarts.restarted(now)
        RESTARTS.labels(name).inc()
        if self._sink.recover(cause):
            restarts.reset()


@app.command()
def main() -> None:
    """Keep topics and connectors as the files in `kafka/` say, until SIGTERM."""
    configure_logging()
    settings = Settings()
    wanted = desired_connectors(settings.files)
    stop = stop_event()
    # Taking a batch over may last longer than a turn should.
    health = Health(stale_after_s=180)
    health.mark_missing("connect", "not checked yet")
    serve_health(health, settings.health_host, settings.health_port)
    client = ConnectClient(settings.connect_url)
    sink = SinkRecovery(client, settings.kafka_bootstrap_servers, settings.target_database_url)
    password = read_secret(settings.source_password_file) if settings.source_password_file else None
    source = SourceRecovery(client, settings.source_database_url, password)
    reconciler = Reconciler(settings, client, wanted, health, sink, source)
    away = RetrySchedule(settings.interval_s, LONGEST_PAUSE_S)
    while not stop.is_set():
        if reconciler.run_once(time.monotonic()):
            away.reset()
            stop.wait(settings.interval_s)
        else:
            stop.wait(away.failed())
    client.close()


if __name__ == "__main__":
    run(app)
