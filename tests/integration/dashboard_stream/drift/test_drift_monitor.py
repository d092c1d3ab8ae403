"""The drift monitor against a real database: what it counts, what it writes, and what a restart changes."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from common.health.state import Health
from common.paths import REPOSITORY
from common.postgres import connect
from common.waiting import wait_until
from dashboard_stream.clients.prediction_api import ApiUnavailable
from dashboard_stream.clients.target_database import DatabaseUnavailable, TargetDatabase
from dashboard_stream.drift.counting import PREDICTIONS
from dashboard_stream.drift.store import DriftStore
from dashboard_stream.drift.tracking import DriftTracker
from tests.conftest import Stack
from tests.integration.dashboard_stream.drift.conftest import (
    EVERY,
    FEATURES,
    WINDOW,
    Target,
    clean,
    drifted,
    reference,
)
from tests.timeouts import WAIT_TIMEOUT_S


def test_while_the_api_is_away_nothing_is_counted_and_nothing_lost(target: Target) -> None:
    target.references.answer = ApiUnavailable("refused")
    target.insert([*clean(1, 20), *drifted(21, 20)])
    with pytest.raises(ApiUnavailable):
        target.monitor.run_once()
    assert target.checks() == []
    target.references.answer = reference()
    target.watch()
    assert len(target.checks()) == 5
    target.references.answer = ApiUnavailable("refused")
    target.watch(clean(41, 5))
    assert len(target.checks()) == 6, "the reference is known"


def test_of_two_monitors_one_works(target: Target) -> None:
    target.watch(clean(1, 20))
    second = TargetDatabase(target.url)
    monitor = DriftTracker(DriftStore(second), target.references, Health(), WINDOW, EVERY)
    with pytest.raises(DatabaseUnavailable, match="another drift monitor"):
        monitor.run_once()
    target.restart()
    assert not monitor.run_once()
    with pytest.raises(DatabaseUnavailable, match="another drift monitor"):
        target.monitor.run_once()
    second.close()


def test_what_is_read_of_an_embedding_is_its_projection(target: Target) -> None:
    target.insert([*clean(1, 3), *drifted(4, 1)])
    rows = target.monitor._store.newer(PREDICTIONS, None)
    assert [row.id for row in rows] == [1, 2, 3, 4]
    assert np.allclose([row.features for row in rows[:3] if row.features], FEATURES[1:4], atol=1e-4)
    assert rows[3].features is None


def test_a_killed_database_is_away_and_then_back(stack: Stack, target: Target) -> None:
    target.watch([*clean(1, 20), *drifted(21, 10)])
    assert target.alarms() == [("confidence", "7", 25, None)]
    target.connection.close()
    stack.kill("target-postgres")
    with pytest.raises(DatabaseUnavailable):
        target.monitor.run_once()
    stack.wait_ready("target-postgres")
    target.connection = connect(target.url, "test")
    wait_until(lambda: _counts(target), "the old session's lock is free", timeout_s=WAIT_TIMEOUT_S)
    target.watch(drifted(31, 10))
    assert target.alarms() == [("confidence", "7", 25, None), ("accuracy", "7", 35, None)]
    assert [last for _, last, _ in target.checks()] == [20, 25, 30, 35, 40]


def _counts(target: Target) -> bool:
    try:
        target.monitor.run_once()
    except DatabaseUnavailable:
        return False
    return True


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        good = self.path == "/model/reference"
        self.send_response(200 if good else 404)
        self.end_headers()
        self.wfile.write(json.dumps(reference().model_dump() if good else {}).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_service_raises_an_alarm_and_ends_cleanly(target: Target, api: str, tmp_path: Path) -> None:
    target.restart()  # Its lock is free.
    port = 29915
    environment = {
        **os.environ,
        "DASHBOARD_STREAM_TARGET_DATABASE_URL": target.url,
        "DASHBOARD_STREAM_API_URL": api,
        "DASHBOARD_STREAM_DRIFT_HEALTH_PORT": str(port),
        "DASHBOARD_STREAM_DRIFT_WINDOW": str(WINDOW),
        "DASHBOARD_STREAM_HEARTBEAT_FILE": str(tmp_path / "beat"),
    }

    def get(path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:
            return ""

    command = [sys.executable, "-m", "dashboard_stream.drift_monitor"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=log)
    try:
        wait_until(lambda: '"ok"' in get("/readyz"), "the monitor is ready", timeout_s=WAIT_TIMEOUT_S)
        target.insert([*clean(1, 20), *drifted(21, 20)])
        wait_until(lambda: len(target.alarms()) == 2, "both alarms", timeout_s=WAIT_TIMEOUT_S)
        wait_until(lambda: len(target.checks()) == 5, "every check", timeout_s=WAIT_TIMEOUT_S)
        metrics = get("/metrics")
        assert 'drift_monitor_alarms_total{detector="confidence"} 1.0' in metrics
        assert 'drift_monitor_threshold{detector="mmd"}' in metrics
        assert "drift_monitor_check_seconds_count 10.0" in metrics
        assert (tmp_path / "beat").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0, (tmp_path / "log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
