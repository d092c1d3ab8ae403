"""Training runs that are killed, stopped, or find something unavailable."""

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2

from common.waiting import wait_until
from model_registry.adaptation.adaptation_table import adaptation_lock
from model_registry.versions.registry_client import Registry
from tests.conftest import Stack
from tests.integration.model_registry.adaptation.conftest import (
    Database,
    Row,
    adapt,
    adapter,
    champion,
    environment,
    run_process,
)
from tests.timeouts import WAIT_TIMEOUT_S


def test_an_alarm_that_is_over_soon_starts_no_training(registry: Registry, database: Database, tmp_path: Path) -> None:
    alarm = database.insert_alarm()
    command = [sys.executable, "-m", "model_registry.adapt", "--alarm", str(alarm), "--model-name", registry.model_name]
    log = tmp_path / "log"
    with log.open("w") as output:
        run = subprocess.Popen(
            command, env=environment(database, MODEL_REGISTRY_ADAPT_CONFIRM_S="86400"), stderr=output, stdout=output
        )
    try:
        wait_until(lambda: f"ready; alarm {alarm} must last" in log.read_text(), "the run is ready", WAIT_TIMEOUT_S)
        database.all("update drift_alarm set ended_at = now(), end_reason = 'over'")
        assert run.wait(60) == 0, log.read_text()
    finally:
        run.kill()
        run.wait()
    assert f"alarm {alarm} is over already" in log.read_text()
    assert database.run(alarm) is None


def test_a_run_that_is_killed_is_tried_again(registry: Registry, database: Database, tmp_path: Path) -> None:
    alarm = database.insert_alarm()
    with adapter(database, registry, tmp_path / "log") as pid:
        database.wait_for(alarm, "collecting")
        child = run_process(pid)
        assert child.nice() == 10, "it gives way to those that serve"
        child.send_signal(signal.SIGKILL)
        database.wait_for_attempt(alarm, 2)
        assert run_process(pid).pid != child.pid
    assert champion(registry) == "1"


def test_an_object_store_that_is_away_is_waited_for(
    stack: Stack, registry: Registry, database: Database, images: list[Row], tmp_path: Path
) -> None:
    alarm = database.insert_alarm()
    with adapter(database, registry, tmp_path / "log"):
        database.wait_for(alarm, "collecting")
        stack.stop("object-store")
        try:
            database.insert_rows(images)
            wait_until(lambda: (database.run(alarm) or {}).get("reason"), "the run says what is away", WAIT_TIMEOUT_S)
            run = database.run(alarm) or {}
            assert run["reason"].startswith("MLflow request failed")
            assert run["finished_at"] is None
            assert champion(registry) == "1", "registered models are in the database"
        finally:
            stack.start("object-store")
            stack.wait_ready("object-store")
        database.wait_for_attempt(alarm, 2)


def test_a_stop_ends_the_run_and_a_start_goes_on(registry: Registry, database: Database, tmp_path: Path) -> None:
    alarm = database.insert_alarm()
    with adapter(database, registry, tmp_path / "log") as pid:
        database.wait_for(alarm, "collecting")
        child = run_process(pid)
    assert not child.is_running()
    run = database.run(alarm)
    assert run is not None
    assert (run["attempts"], run["reason"], run["finished_at"]) == (0, "stopped", None)
    with adapter(database, registry, tmp_path / "log"):
        database.wait_for_attempt(alarm, 1)


def test_only_one_run_at_a_time(registry: Registry, database: Database) -> None:
    alarm = database.insert_alarm()
    with closing(psycopg2.connect(database.url)) as other, adaptation_lock(other, registry.model_name) as alone:
        assert alone
        answer = adapt(database, registry, alarm)
    assert answer.returncode == 1
    assert f"another run adapts {registry.model_name} right now" in answer.stderr
    assert database.run(alarm) is None
