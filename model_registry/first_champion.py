"""Sees to it that there is a champion: trains and registers one when there is none, and stays to look again.

Training is a process of its own, so that its memory is given back; between looks this one holds next to nothing.
"""

import logging
import subprocess
import sys
import threading

import typer

from common.cli import run
from common.health.server import serve_health
from common.health.state import Health, stop_event
from common.logs import configure_logging
from common.names import MODEL_NAME
from common.waiting import RetrySchedule
from model_registry.settings import Settings
from model_registry.versions.champion_lookup import RegistryUnavailable, find_champion

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)

POLL_INTERVAL_S = 15.0
LOOP_INTERVAL_S = 1.0
"""How often a running training is looked at."""


def train(health: Health, stop: threading.Event) -> bool:
    """Run one training to its end, which `stop` brings nearer; return whether it went well."""
    command = [sys.executable, "-m", "model_registry.save_model_to_registry", "--model-name", MODEL_NAME]
    with subprocess.Popen([*command, "--if-missing"]) as training:
        while training.poll() is None:
            health.beat()
            if stop.wait(LOOP_INTERVAL_S):
                training.terminate()
                training.wait()
    return training.returncode == 0


@app.command(help=__doc__)
def main() -> None:
    """Look, train where needed, until SIGTERM."""
    configure_logging()
    settings = Settings()
    stop = stop_event()
    health = Health()
    health.mark_missing("champion", "not checked yet")
    serve_health(health, settings.health_host, settings.health_port)
    trainings = RetrySchedule(first_s=1.0, longest_s=20.0)
    while not stop.is_set():
        health.beat()
        try:
            champion = find_champion(settings.tracking_uri, MODEL_NAME)
        except RegistryUnavailable as error:
            health.mark_missing("champion", str(error))
            stop.wait(LOOP_INTERVAL_S)
            continue
        if champion is not None:
            health.mark_available("champion")
            trainings.reset()
            stop.wait(POLL_INTERVAL_S)
            continue
        health.mark_missing("champion", "none yet: training")
        if train(health, stop):
            continue
        health.mark_missing("champion", "the training failed; the log says why")
        stop.wait(trainings.failed())


if __name__ == "__main__":
    run(app)
