"""A drift monitor on the tables of the running stack, and predictions for it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from psycopg2.extras import execute_values

from common.health.state import Health
from common.pictures.embeddings import EMBEDDING_SIZE, PROJECTION, as_stored, pack, project
from common.postgres import Connection, connect
from common.waiting import wait_until
from dashboard_stream.clients.target_database import TargetDatabase
from dashboard_stream.drift.reference import Reference
from dashboard_stream.drift.sliding_window import PredictionRow
from dashboard_stream.drift.store import ALONE, DriftStore
from dashboard_stream.drift.tracking import DriftTracker
from tests.conftest import Stack
from tests.dashboard_stream.drift import predicted
from tests.integration.target_tables import target_tables
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
    """The monitor on tables of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: Connection = connect(url, "test")
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
        wait_until(self._nobody_monitors, "the old monitor's session has ended", WAIT_TIMEOUT_S)
        self.health = Health()
        self._databases.append(TargetDatabase(self.url, "drift-monitor"))
        store = DriftStore(self._databases[-1])
        self.monitor = DriftTracker(store, self.references, self.health, WINDOW, EVERY, lambda: self.now)

    def _nobody_monitors(self) -> bool:
        # The server ends a session, and frees its lock, a moment after its client has closed it.
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(ALONE)
            row = cursor.fetchone()
            cursor.execute("select pg_advisory_unlock_all()")
        return row == (True,)

    def insert(self, rows: Sequence[PredictionRow], settle: bool = True) -> None:
        """With `settle` it returns when the rows are to be counted: somebody else's transaction may hold them back."""
        with self.connection, self.connection.cursor() as cursor:
            insert(cursor, rows)
        if settle:
            wait_until(self._nothing_is_held_back, "other transactions have ended", WAIT_TIMEOUT_S)

    def _nothing_is_held_back(self) -> bool:
        return (
            self.query(
                "select from cargo_prediction"
                " where greatest(written_by, labelled_by) >= pg_snapshot_xmin(pg_current_snapshot()) limit 1"
            )
            == []
        )

    def label(self, labels: dict[int, int]) -> None:
        with self.connection, self.connection.cursor() as cursor:
            label(cursor, labels)
        wait_until(self._nothing_is_held_back, "other transactions have ended", WAIT_TIMEOUT_S)

    def watch(self, rows: Sequence[PredictionRow] = (), settle: bool = True) -> None:
        """Insert `rows` and let the monitor count all there are."""
        self.insert(rows, settle)
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


def insert(cursor: Any, rows: Sequence[PredictionRow]) -> None:
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
    label(cursor, {r.id: r.label for r in rows if r.label is not None})
    kept = [(r.id, "0" * 64, "one", pack(EMBEDDINGS[r.id % 60])) for r in rows if r.features is not None]
    if kept:
        execute_values(cursor, "insert into cargo_prediction_embedding values %s", kept)


def label(cursor: Any, labels: dict[int, int]) -> None:
    """As the subscriber notes that labels came."""
    if labels:
        execute_values(
            cursor,
            "update cargo_prediction set label = new.label, labelled_by = pg_current_xact_id()"
            " from (values %s) as new (id, label) where cargo_prediction.id = new.id",
            list(labels.items()),
        )


@pytest.fixture
def target(stack: Stack) -> Iterator[Target]:
    with target_tables(stack) as schema:
        target = Target(f"{stack.target_url}?options=-csearch_path%3D{schema}")
        yield target
        target.close()
