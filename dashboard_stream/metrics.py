"""What the subscriber and the drift monitor tell Prometheus."""

import logging
from datetime import datetime
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

log = logging.getLogger(__name__)

LAG = Gauge("data_subscriber_lag_messages", "Messages behind the end of the partition.", ["partition"])
BATCH_ROWS = Histogram("data_subscriber_batch_rows", "Messages a batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
LATENCY = Histogram(
    "data_subscriber_latency_seconds",
    "From the source row's timestamp to the commit of its prediction; of rows in the future 0.",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
PREDICTIONS = Counter("data_subscriber_predictions", "Predictions committed to the target database.", ["class_name"])
SAME_PICTURES = Counter(
    "data_subscriber_same_pictures", "Messages that needed no model: delivered again, or only labelled."
)
DELETIONS = Counter("data_subscriber_deletions", "Rows that were deleted in the source.")
FUTURE_ROWS = Counter("data_subscriber_future_rows", "Rows whose timestamp lay in the future: a clock is wrong.")
DEAD_LETTERS = Counter("data_subscriber_dead_letters", "Messages that became dead letters.", ["kind"])
WAITS = Counter("data_subscriber_waits", "Pauses because something was away.", ["part"])
REBUILDS = Counter("data_subscriber_consumer_rebuilds", "Times that a stuck consumer was replaced.")

DRIFT_SCORE = Gauge("drift_monitor_score", "Score of the last window.", ["detector"])
DRIFT_THRESHOLD = Gauge("drift_monitor_threshold", "Score above which a window has drifted.", ["detector"])
DRIFT_ALARMS = Counter("drift_monitor_alarms", "Episodes of drift that began.", ["detector"])
DRIFT_CHECK_SECONDS = Histogram(
    "drift_monitor_check_seconds",
    "All detectors on one window, without the database.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
)

CLOCK_TOLERANCE_S = 1.0
"""Two machines' clocks may differ so much without a word."""


def observe_latency(row_timestamp: datetime, committed_at: datetime) -> None:
    """Count how long a row took. One from the future is counted as such, and told the first time."""
    seconds = (committed_at - row_timestamp).total_seconds()
    if seconds < -CLOCK_TOLERANCE_S:
        _say_that_a_clock_is_wrong()
        FUTURE_ROWS.inc()
    LATENCY.observe(max(seconds, 0.0))


@cache
def _say_that_a_clock_is_wrong() -> None:
    log.warning("rows lie in the future: a clock is wrong, here or where they are made")
