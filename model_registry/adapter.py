"""Answers alarms of drift: starts a training run for one, one run at a time.

The run is a process of its own, `adapt.py`, at a lower priority than those that serve; between runs this one holds next
to nothing. It is started before the alarm is confirmed, and ends at once when the alarm does not last.
"""

import logging
import os
import subprocess
import sys
import threading
from typing import Annotated

import psycopg2
import typer

from common.cli import UserError, run
from common.health.server import serve_health
from common.health.state import Health, stop_event
from common.logs import configure_logging
from common.names import MODEL_NAME
from common.postgres import Connection, connect
from common.waiting import RetrySchedule
from model_registry.adaptation.adaptation_table import adaptation_lock
from model_registry.adaptation.next_alarm import next_alarm
from model_registry.settings import Settings
from model_registry.versions.champion_lookup import RegistryUnavailable, find_champion

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)

LOOP_INTERVAL_S = 1.0
NICE = 10
"""Serving keeps its latency while a run uses what is left of the processors."""

STOP_S = 8.0
"""How long a run may take to put its things in order; containers get 10 s before they are killed."""


class Adapter:
    """Looks for an alarm to answer, turn by turn."""

    def __init__(self, settings: Settings, model_name: str, health: Health, stop: threading.Event) -> None:
        self._settings, self._model_name = settings, model_name
        self._health, self._stop = health, stop
        self._connection: Connection | None = None
        self._runs = RetrySchedule(first_s=1.0, longest_s=20.0)

    def run_once(self) -> None:
        """Look once, and carry out what is due."""
        self._health.beat()
        alarm = self._due()
        if alarm is None:
            self._stop.wait(LOOP_INTERVAL_S)
        elif self._carried_out(alarm):
            self._health.mark_available("run")
            self._runs.reset()
        elif not self._stop.is_set():
            self._health.mark_missing(
                "run", f"the run for alarm {alarm} was interrupted or could not start; see the log"
            )
            self._stop.wait(self._runs.failed())

    def _due(self) -> int | None:
        try:
            connection = self._connected()
            champion = find_champion(self._settings.tracking_uri, self._model_name)
            self._health.mark_available("registry")
            if champion is None:
                return None
            with adaptation_lock(connection, self._model_name) as alone:
                return next_alarm(connection, champion, self._settings) if alone else None
        except RegistryUnavailable as error:
            self._health.mark_missing("registry", str(error))
        except (UserError, psycopg2.Error) as error:
            self._health.mark_missing("database", " ".join(str(error).split()))
            self._disconnect()
        return None

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._settings.target_database_url, "model-adapter", timeout_s=0)
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute("select from adaptation limit 0")
        self._health.mark_available("database")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _carried_out(self, alarm: int) -> bool:
        """Run `adapt.py` to its end, which a stop brings nearer; return whether it came to a result."""
        log.info("a run for alarm %d begins", alarm)
        command = [
            sys.executable,
            "-m",
            "model_registry.adapt",
            "--alarm",
            str(alarm),
            "--model-name",
            self._model_name,
        ]
        with subprocess.Popen(command) as child:
            os.setpriority(os.PRIO_PROCESS, child.pid, NICE)
            while child.poll() is None:
                self._health.beat()
                if self._stop.wait(LOOP_INTERVAL_S):
                    _end(child)
        return child.returncode == 0


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()


@app.command(help=__doc__)
def main(model_name: Annotated[str, typer.Option(help="Name the models are registered under.")] = MODEL_NAME) -> None:
    """Look and answer until SIGTERM."""
    configure_logging()
    settings = Settings()
    stop = stop_event()
    health = Health()
    for part in ("database", "registry"):
        health.mark_missing(part, "not checked yet")
    serve_health(health, settings.health_host, settings.adapter_health_port)
    adapter = Adapter(settings, model_name, health, stop)
    while not stop.is_set():
        adapter.run_once()


if __name__ == "__main__":
    run(app)
