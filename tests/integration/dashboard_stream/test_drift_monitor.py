"""The drift monitor against a real database: what it counts, what it writes, and what a restart changes."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from psycopg2.extras import execute_values

from common.health.state import Health
from common.paths import REPOSITORY
from common.pictures.embeddings import EMBEDDING_SIZE, PROJECTION, as_stored, pack, project
from common.postgres import Connection, apply_schema, connect
from common.waiting import wait_until
from dashboard_stream.clients.prediction_api import ApiUnavailable
from dashboard_stream.clients.target_database import DatabaseUnavailable, TargetDatabase
from dashboard_stream.drift.reference import NoReference, Reference
from dashboard_stream.drift.sliding_window import PredictionRow
from dashboard_stream.drift.store import DriftStore
from dashboard_stream.drift.tracking import DriftTracker
from tests.conftest import Stack
from tests.dashboard_stream.drift import predicted
from tests.timeouts import WAIT_TIMEOUT_S

WINDOW, EVERY = 20, 5
RNG = np.random.default_rng(0)
EMBEDDINGS = as_stored(RNG.random((60, EMBEDDING_SIZE), np.float32))
FEATURES = project(EMBEDDINGS).tolist()


def reference(version: str = "7") -> Reference:
    """Of a model that is as sure as the `clean` rows are, and more often right than wrong."""
    return Reference(
        model_version=version,
        dataset="monday",
        accuracy=0.95,
        confidences=[0.95] * 60,
        features=FEATURES,
        projection=PROJECTION,
    )


def clean(first: int, count: int, version: str = "7") -> list[PredictionRow]:
    return [
        predicted(number, confidence=0.95, model_version=version, features=FEATURES[number % 60])
        for number in range(first, first + count)
    ]


def drifted(first: int, count: int, version: str = "7") -> list[PredictionRow]:
    return [
        predicted(number, confidence=0.5, label=number % 2, model_version=version)
        for number in range(first, first + count)
    ]


class References:
    """The API: what it answers, or raises."""

    def __init__(self) -> None:
        self.answer: Reference | Exception = reference()

    def get(self) -> Reference:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Target:
    """A schema with the tables, and the monitor on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: Connection = connect(url, "test")
        apply_schema(self.connection, REPOSITORY / "kafka" / "target_schema.sql")
        self.references = References()
        self.now = 0.0
        self._databases: list[TargetDatabase] = []
        self.restart()
        # The first start leaves history alone; here there is none.
        self.watch()

    def restart(self) -> None:
        """A new monitor; the old one is gone."""
        for old in self._databases:
            old.close()
        self.health = Health()
        self._databases.append(TargetDatabase(self.url, "drift-monitor"))
        store = DriftStore(self._databases[-1])
        self.monitor = DriftTracker(store, self.references, self.health, WINDOW, EVERY, lambda: self.now)

    def insert(self, rows: Sequence[PredictionRow]) -> None:
        with self.connection, self.connection.cursor() as cursor:
            insert(cursor, rows)

    def watch(self, rows: Sequence[PredictionRow] = ()) -> None:
        """Insert `rows` and let the monitor count all there are."""
        self.insert(rows)
        while self.monitor.run_once():
            pass

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def checks(self, detector: str = "confidence") -> list[tuple[object, ...]]:
        """First and last id of each window, and whether it was one of alarm."""
        return self.query(
            "select window_first_id, window_last_id, alarm from drift"
            f" where detector = '{detector}' order by checked_at"
        )

    def alarms(self) -> list[tuple[object, ...]]:
        return self.query("select detector, model_version, last_id, end_reason from drift_alarm order by id")

    def close(self) -> None:
        self.connection.close()
        self._databases[-1].close()


def insert(cursor: object, rows: Sequence[PredictionRow]) -> None:
    if not rows:
        return
    values = [
        (
            r.id,
            r.predicted_at,
            r.dataset,
            r.image_path,
            r.target,
            r.label,
            r.confidence,
            r.model_version,
            r.predicted_at,
        )
        for r in rows
    ]
    execute_values(cursor, "insert into cargo_prediction values %s", values)
    kept = [(r.id, "0" * 64, "one", pack(EMBEDDINGS[r.id % 60])) for r in rows if r.features is not None]
    if kept:
        execute_values(cursor, "insert into cargo_prediction_embedding values %s", kept)


@pytest.fixture
def target(stack: Stack) -> Iterator[Target]:
    schema = f"drift_{uuid.uuid4().hex}"
    with stack.target() as connection, connection.cursor() as cursor:
        cursor.execute(f"create schema {schema}")
    target = Target(f"{stack.target_url}?options=-csearch_path%3D{schema}")
    yield target
    target.close()
    with stack.target() as connection, connection.cursor() as cursor:
        cursor.execute(f"drop schema {schema} cascade")


def test_clean_predictions_are_checked_by_count_and_raise_no_alarm(target: Target) -> None:
    target.watch(clean(1, WINDOW - 1))
    assert target.checks() == []
    target.watch(clean(WINDOW, 12))
    for detector in ("confidence", "accuracy", "mmd"):
        assert target.checks(detector) == [(1, 20, False), (6, 25, False), (11, 30, False)]
    assert target.alarms() == []


def test_one_alarm_an_episode_with_its_evidence(target: Target) -> None:
    target.watch([*clean(1, 20), *drifted(21, 20)])
    assert [alarm for *_, alarm in target.checks()] == [False, True, True, True, True]
    assert target.alarms() == [("confidence", "7", 25, None), ("accuracy", "7", 35, None)]
    ((score, threshold, evidence),) = target.query(
        "select score, threshold, evidence from drift_alarm where detector = 'confidence'"
    )
    assert score == pytest.approx((15 * 0.05 + 5 * 0.5) / 20)
    assert isinstance(threshold, float)
    assert threshold < 0.1625
    assert isinstance(evidence, dict)
    assert {image["id"] for image in evidence["images"][:5]} == {21, 22, 23, 24, 25}
    assert evidence["images"][0].keys() == {"id", "dataset", "image_path", "target", "label", "confidence"}
    assert evidence["predicted_classes"] == {"1": 20}


def test_an_episode_ends_when_a_whole_window_is_calm_and_another_may_begin(target: Target) -> None:
    target.watch([*clean(1, 20), *drifted(21, 20), *clean(41, 30)])
    assert target.alarms()[0] == ("confidence", "7", 25, None), "15 calm predictions are no whole window"
    target.watch(clean(71, 5))
    assert {reason for *_, reason in target.alarms()} == {"back to normal for a whole window"}
    target.watch(drifted(76, 20))
    assert [alarm[0] for alarm in target.alarms()].count("confidence") == 2


def test_a_score_that_swings_about_the_threshold_is_one_episode(target: Target) -> None:
    target.watch([*clean(1, 20), *drifted(21, 20)])
    for start in range(41, 121, 20):
        # Two of twenty: below the threshold, and nearer to it than to the reference.
        target.watch([*clean(start, 18), *drifted(start + 18, 2)])
    assert not any(alarm for *_, alarm in target.checks()[-10:])
    assert [alarm for alarm in target.alarms() if alarm[0] == "confidence"] == [("confidence", "7", 25, None)]


def test_an_episode_ends_when_another_version_serves_and_its_window_begins_anew(target: Target) -> None:
    target.watch([*clean(1, 20), *drifted(21, 20)])
    target.references.answer = reference("8")
    target.watch(drifted(41, WINDOW - 1, "8"))
    assert {reason for *_, reason in target.alarms()} == {"version 8 serves"}
    assert target.checks()[-1][1] == 40
    target.watch(drifted(60, 1, "8"))
    assert target.checks()[-1] == (41, 60, True)
    assert target.alarms()[-1][1:] == ("8", 60, None)


@pytest.mark.parametrize("restart_every", [1, 3, 7])
def test_restarts_and_polls_change_nothing(target: Target, restart_every: int) -> None:
    rows = [*clean(1, 30), *drifted(31, 30), *clean(61, 60), *drifted(121, 30)]
    for number, row in enumerate(rows):
        target.watch([row])
        if number % restart_every == 0:
            target.restart()
    assert [last for _, last, _ in target.checks()] == list(range(WINDOW, 151, EVERY))
    assert [(d, last) for d, _, last, _ in target.alarms() if d == "confidence"] == [
        ("confidence", 35),
        ("confidence", 125),
    ]


def test_rows_that_are_stored_late_are_counted_once(target: Target) -> None:
    """Two subscribers: what was predicted first is stored last, and one batch has one time."""
    rows = clean(1, 45)
    rows[20:40] = [replace(row, predicted_at=rows[20].predicted_at) for row in rows[20:40]]
    target.watch(rows[:20])
    other = connect(target.url, "other")
    with other.cursor() as cursor:
        insert(cursor, [*rows[20:24], *rows[30:34]])
        target.watch([*rows[24:30], *rows[34:40]])
        assert [last for _, last, _ in target.checks()] == [20, 29, 38]
        other.commit()
    other.close()
    target.watch()
    assert [last for _, last, _ in target.checks()] == [20, 29, 38, 23, 34]
    target.restart()
    target.watch(rows[40:])
    assert [last for _, last, _ in target.checks()] == [20, 29, 38, 23, 34, 45]


def test_the_first_start_does_not_judge_history(target: Target) -> None:
    target.insert(drifted(1, 200))
    target.restart()
    target.watch()
    assert [last for _, last, _ in target.checks()] == [185, 190, 195, 200]


def test_without_a_reference_scores_are_shown_and_nothing_alarms(target: Target) -> None:
    target.references.answer = NoReference("the model brings none")
    target.watch(drifted(1, 30))
    assert target.query("select distinct detector, threshold from drift order by 1") == [
        ("accuracy", None),
        ("confidence", None),
    ]
    assert target.alarms() == []
    ready, detail = target.health.ready()
    assert ready, "nobody could mend it by waiting"
    assert detail["notes"]["reference"].startswith("the model brings none")
    target.references.answer = reference()
    target.now = 60
    target.watch(drifted(31, 5))
    assert target.alarms() == [("confidence", "7", 35, None), ("accuracy", "7", 35, None)]
    assert target.health.ready()[1] == {"missing": {}}


def test_the_reference_of_another_version_is_not_used(target: Target) -> None:
    target.references.answer = reference("8")
    target.watch(drifted(1, 30))
    assert target.alarms() == []


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
    rows = target.monitor._store.newer(None, [])
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
        assert "drift_monitor_check_seconds_count 5.0" in metrics
        assert (tmp_path / "beat").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0, (tmp_path / "log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
