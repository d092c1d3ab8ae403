"""The target database's tables."""

from common.migrations import Schema
from common.paths import REPOSITORY

SCHEMA = Schema(
    REPOSITORY / "kafka" / "target_migrations",
    (
        *("cargo", "cargo_prediction", "cargo_prediction_embedding", "cargo_dead_letter"),
        *("drift", "drift_alarm", "drift_progress", "adaptation"),
    ),
)
