"""What the subscriber and the drift monitor tell Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

LAG = Gauge("data_subscriber_lag_messages", "Messages behind the end of the partition.", ["partition"])
BATCH_ROWS = Histogram("data_subscriber_batch_rows", "Messages a batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
LATENCY = Histogram(
    "data_subscriber_latency_seconds",
    "From the source row's timestamp to its prediction.",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
PREDICTIONS = Counter("data_subscriber_predictions", "Predictions committed to the target database.", ["class_name"])
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
