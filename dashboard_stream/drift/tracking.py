"""Counts predictions one by one, checks each due window, and remembers what that means for the episodes."""

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from common.health.state import Health
from dashboard_stream import metrics
from dashboard_stream.clients.target_database import DatabaseUnavailable
from dashboard_stream.drift.checks import ALARMING_DETECTORS, Check, Detector, Detectors
from dashboard_stream.drift.reference import NoReference, Reference
from dashboard_stream.drift.sliding_window import PredictionRow, Window
from dashboard_stream.drift.store import MAX_LATENESS, DriftStore, Position

ASK_AGAIN_S = 5.0
"""Pause before the API is asked again for a reference that it did not have."""


class References(Protocol):
    """See `ReferenceApi`."""

    def get(self) -> Reference:
        """That of the version which serves. Raises `NoReference`, `ApiUnavailable`."""


class DriftTracker:
    """Where counting has come to. What is written with each check is all that a restart needs."""

    def __init__(
        self,
        store: DriftStore,
        references: References,
        health: Health,
        window: int,
        check_every: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._references, self._health, self._clock = store, references, health, clock
        self._size, self._check_every = window, check_every
        self._resumed = False

    def run_once(self) -> bool:
        """Take in at most a page of what is new; whether there was any. `Unavailable`: call again."""
        try:
            if not self._resumed:
                self._resume()
            rows = self._store.newer(self._place, [number for _, number in self._counted])
            for row in rows:
                self._count(row)
        except DatabaseUnavailable:
            # What was counted since the last check is counted again.
            self._resumed = False
            raise
        return bool(rows)

    def _resume(self) -> None:
        progress = self._store.resume(self._size)
        self._window = Window(self._size, self._check_every)
        for row in progress.window:
            self._window.add(row)
        self._place: Position | None = progress.place
        self._counted: deque[Position] = deque(progress.counted)
        self._detectors: Detectors | None = None
        self._ask_again_at = 0.0
        self._calm: Counter[Detector] = Counter()
        if version := self._window.model_version:
            self._calm.update({detector: self._store.calm_checks(version, detector) for detector in ALARMING_DETECTORS})
        self._resumed = True

    def _count(self, row: PredictionRow) -> None:
        another = row.model_version != self._window.model_version
        if another or self._detectors is None or self._clock() >= self._ask_again_at:
            self._detectors = self._detectors_of(row.model_version)
        if another:
            self._store.close_alarms_of_other_versions(row.model_version)
            self._calm.clear()
        due = self._window.add(row)
        self._place = max(self._place or row.place, row.place)
        self._counted.append(row.place)
        while self._counted[0][0] < self._place[0] - MAX_LATENESS:
            self._counted.popleft()
        if due:
            self._check(self._detectors, self._place)

    def _detectors_of(self, version: str) -> Detectors:
        try:
            reference = self._references.get()
            if reference.model_version != version:
                raise NoReference(f"version {version} is being checked, but the API serves {reference.model_version}")
        except NoReference as none:
            self._health.note("reference", f"{none}; scores have no thresholds")
            self._ask_again_at = self._clock() + ASK_AGAIN_S
            return Detectors(None, self._size)
        self._health.note("reference", None)
        self._ask_again_at = float("inf")
        return Detectors(reference, self._size)

    def _check(self, detectors: Detectors, place: Position) -> None:
        with metrics.DRIFT_CHECK_SECONDS.time():
            checks = detectors.check(list(self._window))
        for detector in self._store.record(self._window, checks, self._calmed(checks), place):
            metrics.DRIFT_ALARMS.labels(detector).inc()
        for check in checks:
            metrics.DRIFT_SCORE.labels(check.detector).set(check.score)
            if check.threshold is not None:
                metrics.DRIFT_THRESHOLD.labels(check.detector).set(check.threshold)

    def _calmed(self, checks: list[Check]) -> list[Detector]:
        """Detectors whose score has now been calm for a whole window."""
        calmed = []
        for check in checks:
            if check.detector in ALARMING_DETECTORS and check.threshold is not None:
                self._calm[check.detector] = self._calm[check.detector] + 1 if check.calm else 0
                if self._calm[check.detector] * self._check_every >= self._size:
                    calmed.append(check.detector)
        return calmed
