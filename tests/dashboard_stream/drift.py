"""Predictions for the tests of the drift monitor."""

from datetime import UTC, datetime, timedelta

from dashboard_stream.drift.sliding_window import Place, PredictionRow

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)


def predicted(
    number: int,
    target: int = 1,
    label: int | None = 1,
    confidence: float = 0.9,
    model_version: str = "7",
    features: list[float] | None = None,
) -> PredictionRow:
    """Row `number`, predicted so many seconds after `BEGAN`."""
    moment = BEGAN + timedelta(seconds=number)
    path = f"wood/{number}.jpg"
    place = Place(number, number)
    return PredictionRow(number, moment, "monday", path, target, label, confidence, model_version, place, features)
