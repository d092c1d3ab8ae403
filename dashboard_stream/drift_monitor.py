"""Watch the predictions for drift: scores beside their thresholds, and one alarm for each episode with its evidence."""

import logging
import threading

import typer

from common.cli import run
from common.health.server import serve_health
from common.health.state import Health, stop_event
from common.logs import configure_logging
from common.waiting import Stopped, retry_until_stopped
from dashboard_stream.clients.cancellable_calls import unless_stopped
from dashboard_stream.clients.prediction_api import ApiUnavailable
from dashboard_stream.clients.target_database import TargetDatabase
from dashboard_stream.drift.reference import Reference, ReferenceApi
from dashboard_stream.drift.store import DriftStore
from dashboard_stream.drift.tracking import DriftTracker
from dashboard_stream.settings import Settings

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


class InterruptibleReferences:
    """The API's references. A request that takes long is left behind when the service is told to stop: `Stopped`."""

    def __init__(self, api: ReferenceApi, health: Health, stop: threading.Event) -> None:
        self._api, self._health, self._stop = api, health, stop

    def get(self) -> Reference:
        """See `ReferenceApi.get`."""
        return unless_stopped(self._api.get, self._stop, self._health.beat)


def watch(counter: DriftTracker, health: Health, stop: threading.Event, poll_s: float) -> None:
    """Count until told to stop: `Stopped`. What is away is waited for; predictions lie in the database meanwhile."""

    def run_once() -> bool:
        try:
            more = counter.run_once()
        except ApiUnavailable:
            health.mark_available("database")
            raise
        health.mark_available("database")
        health.mark_available("api")
        return more

    while True:
        if not retry_until_stopped(run_once, health, stop):
            stop.wait(poll_s)


@app.command(help=__doc__)
def main() -> None:
    """Watch until told to stop."""
    configure_logging()
    settings = Settings()
    stop = stop_event()
    health = Health(settings.heartbeat_file)
    health.mark_missing("database", "not checked yet")
    serve_health(health, settings.health_host, settings.drift_health_port)
    database = TargetDatabase(settings.target_database_url, "drift-monitor")
    references = InterruptibleReferences(ReferenceApi(settings.api_url, settings.api_timeout_s), health, stop)
    counter = DriftTracker(DriftStore(database), references, health, settings.drift_window, settings.drift_check_every)
    try:
        log.info("windows of %d predictions, checked every %d", settings.drift_window, settings.drift_check_every)
        watch(counter, health, stop, settings.drift_poll_s)
    except Stopped:
        log.info("stopped; what was in hand is counted again")
    finally:
        database.close()


if __name__ == "__main__":
    run(app)
