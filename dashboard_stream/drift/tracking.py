"""Counts predictions and labels one by one, checks each due window, and remembers what that means for the episodes."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from common.health.state import Health
from dashboard_stream import metrics
from dashboard_stream.clients.target_database import DatabaseUnavailable
from dashboard_stream.drift.checks import ALARMING_DETECTORS, Check, Detector, Detectors
from dashboard_stream.drift.counting import LABELS, PREDICTIONS, Count
from dashboard_stream.drift.reference import NoReference, Reference
from dashboard_stream.drift.sliding_window import Place, Window, Windows
from dashboard_stream.drift.store import DriftStore

ASK_AGAIN_S = 5.0
"""Pause before the API is asked again for a reference that it did not have."""

HELD_BACK_S = 30.0
"""Transactions of the services end within a second; after so long it is said that one does not."""


class References(Protocol):
    """See `ReferenceApi`."""

    def get(self) -> Reference:
        """That of the version which serves. Raises `NoReference`, `ApiUnavailable`."""


@dataclass
class Progress:
    """How far one count has come, and the windows that it fills."""

    place: Place | None
    windows: Windows


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
        self._progress: dict[Count, Progress] | None = None
        self._moved_at = clock()

    def run_once(self) -> bool:
        """Take in at most a page of what is new; whether there was any. `Unavailable`: call again."""
        try:
            progress = self._progress = self._progress or self._resume()
            found = [self._count_new(count, progress[count]) for count in (PREDICTIONS, LABELS)]
            self._say_what_holds_back(any(found))
        except DatabaseUnavailable:
            # What was counted since the last check is counted again.
            self._progress = None
            raise
        return any(found)

    def _resume(self) -> dict[Count, Progress]:
        self._store.become_the_only_one()
        self._detectors: dict[str, Detectors] = {}
        self._ask_again_at: dict[str, float] = {}
        self._calm: dict[str, Counter[Detector]] = {}
        return {
            count: Progress(*self._store.resume(count, self._size, self._check_every))
            for count in (PREDICTIONS, LABELS)
        }

    def _count_new(self, count: Count, progress: Progress) -> bool:
        rows = self._store.newer(count, progress.place)
        for row in rows:
            detectors = self._detectors_of(row.model_version, answers=count is PREDICTIONS)
            window, gone = progress.windows.add(row)
            progress.place = row.place
            if gone and count is PREDICTIONS:
                self._forget(gone, progress.windows.versions)
            if window:
                self._check(count, window, detectors, progress.place)
        return bool(rows)

    def _forget(self, gone: list[str], versions: list[str]) -> None:
        self._store.close_alarms_of_others(versions)
        for version in gone:
            for known in (self._detectors, self._ask_again_at, self._calm):
                known.pop(version, None)

    def _detectors_of(self, version: str, answers: bool) -> Detectors:
        if version in self._detectors and self._clock() < self._ask_again_at[version]:
            return self._detectors[version]
        try:
            reference = self._references.get()
            if reference.model_version != version:
                raise NoReference(f"version {version} is being checked, but the API serves {reference.model_version}")
            self._health.note("reference", None)
            self._ask_again_at[version] = float("inf")
            self._detectors[version] = Detectors(reference, self._size)
        except NoReference as none:
            self._detectors[version] = Detectors(None, self._size)
            # A label may come long after its version has answered for the last time.
            if answers:
                self._health.note("reference", f"{none}; scores have no thresholds")
            self._ask_again_at[version] = self._clock() + ASK_AGAIN_S
        return self._detectors[version]

    def _check(self, count: Count, window: Window, detectors: Detectors, place: Place) -> None:
        with metrics.DRIFT_CHECK_SECONDS.time():
            rows = list(window)
            checks = detectors.check_predictions(rows) if count is PREDICTIONS else detectors.check_labels(rows)
        calmed = self._calmed(window.last.model_version, checks)
        for detector in self._store.record(count, window, checks, calmed, place):
            metrics.DRIFT_ALARMS.labels(detector).inc()
        for check in checks:
            metrics.DRIFT_SCORE.labels(check.detector).set(check.score)
            if check.threshold is not None:
                metrics.DRIFT_THRESHOLD.labels(check.detector).set(check.threshold)

    def _calmed(self, version: str, checks: list[Check]) -> list[Detector]:
        """Detectors whose score has now been calm for a whole window."""
        if version not in self._calm:
            known = {detector: self._store.calm_checks(version, detector) for detector in ALARMING_DETECTORS}
            self._calm[version] = Counter(known)
        calm, calmed = self._calm[version], []
        for check in checks:
            if check.detector in ALARMING_DETECTORS and check.threshold is not None:
                calm[check.detector] = calm[check.detector] + 1 if check.calm else 0
                if calm[check.detector] * self._check_every >= self._size:
                    calmed.append(check.detector)
        return calmed

    def _say_what_holds_back(self, moved: bool) -> None:
        if moved:
            self._moved_at = self._clock()
            self._health.note("counting", None)
        elif self._clock() - self._moved_at > HELD_BACK_S:
            self._moved_at = self._clock()
            held = self._store.held_back(PREDICTIONS)
            why = "predictions wait for a transaction in the target database that is still open; see pg_stat_activity"
            self._health.note("counting", why if held else None)
