"""All detectors on one window, and what an alarm brings as evidence."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dashboard_stream.drift.detectors import MaximumMeanDiscrepancy, accuracy_threshold, confidence_threshold
from dashboard_stream.drift.reference import Reference
from dashboard_stream.drift.sliding_window import PredictionRow

Detector = Literal["confidence", "accuracy", "mmd"]
ALARMING_DETECTORS: tuple[Detector, ...] = ("confidence", "accuracy")
"""Detectors that raise alarms. MMD is shown beside: it exceeds its threshold on clean images of another session too."""

EVIDENCE_IMAGES = 8
SEED = 0
"""The same reference has the same thresholds after a restart."""


@dataclass(frozen=True)
class Check:
    """One detector's look at a window. `usual` is the reference's own score; None, with `threshold`, without one."""

    detector: Detector
    score: float
    usual: float | None
    threshold: float | None

    @property
    def alarm(self) -> bool:
        """Whether the score is too high to be chance."""
        return self.threshold is not None and self.score > self.threshold

    @property
    def calm(self) -> bool:
        """Whether the score is nearer to the usual one; one that swings about the threshold is not."""
        if self.usual is None or self.threshold is None:
            return False
        return self.score <= (self.usual + self.threshold) / 2


class Detectors:
    """The detectors of one model version; without a reference they score and never alarm."""

    def __init__(self, reference: Reference | None, window: int) -> None:
        self._reference = reference
        self._usual: float | None = None
        self._confidence: float | None = None
        self._mmd: MaximumMeanDiscrepancy | None = None
        if reference is not None:
            rng = np.random.default_rng(SEED)
            self._usual = float(np.mean([1 - confidence for confidence in reference.confidences]))
            self._confidence = confidence_threshold(reference.confidences, window, rng)
            if reference.comparable:
                self._mmd = MaximumMeanDiscrepancy(reference.features, window, rng)

    def check_predictions(self, rows: Sequence[PredictionRow]) -> list[Check]:
        """A full window's checks; MMD where all rows have their embeddings."""
        score = float(np.mean([1 - row.confidence for row in rows]))
        checks = [Check("confidence", score, self._usual, self._confidence)]
        features = [row.features for row in rows if row.features is not None]
        if self._mmd is not None and len(features) == len(rows):
            checks.append(Check("mmd", self._mmd.score(features), 0.0, self._mmd.threshold))
        return checks

    def check_labels(self, rows: Sequence[PredictionRow]) -> list[Check]:
        """The check of a full window of rows that have their labels."""
        wrong = sum(row.target != row.label for row in rows)
        usual = 1 - self._reference.accuracy if self._reference else None
        return [Check("accuracy", wrong / len(rows), usual, self._accuracy(len(rows)))]

    def _accuracy(self, labelled: int) -> float | None:
        reference = self._reference
        return accuracy_threshold(reference.accuracy, len(reference.confidences), labelled) if reference else None


def evidence(detector: Detector, rows: Sequence[PredictionRow]) -> dict[str, object]:
    """What people look at first: the images that speak most for drift, and what the window holds of each class."""

    def weight(row: PredictionRow) -> tuple[bool, float]:
        wrong = row.label is not None and row.target != row.label
        return (detector == "accuracy" and wrong, 1 - row.confidence)

    worst = sorted(rows, key=weight, reverse=True)[:EVIDENCE_IMAGES]
    return {
        "images": [
            {
                "id": row.id,
                "dataset": row.dataset,
                "image_path": row.image_path,
                "target": row.target,
                "label": row.label,
                "confidence": row.confidence,
            }
            for row in worst
        ],
        "predicted_classes": {str(target): count for target, count in sorted(Counter(r.target for r in rows).items())},
        "datasets": dict(sorted(Counter(row.dataset for row in rows).items())),
    }
