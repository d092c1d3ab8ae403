"""Names that more than one stage must spell the same way."""

SOURCE_TOPIC = "postgres-source-cargo"
"""Rows of the source table, key = id, written by the Debezium source connector."""

REPLICATION_SLOT = "dbz_cargo"
"""Through which the source connector reads the source's log; its publication has the same name."""

SOURCE_COLUMNS = ("id", "timestamp", "dataset", "image_path", "target")
"""Of the source table; what else it has does not travel."""

DEAD_LETTER_TOPIC = "postgres-source-cargo-dlq"
"""Messages that the subscriber could not turn into a prediction."""

SINK_DEAD_LETTER_TOPIC = "postgres-source-cargo-sink-dlq"
"""Messages that the sink connector or the target database refused."""

CONSUMER_GROUP = "cargo-consumer-group"

SOURCE_CONNECTOR = "postgres-source-connector"
SINK_CONNECTOR = "postgres-sink-connector"

EXPERIMENT = "cargo"
MODEL_NAME = "sk_model"
CHAMPION = "champion"
"""Alias of the version that serves."""

PREVIOUS = "previous"
"""Alias of the version that served before the champion; a rollback goes back to it."""

CHALLENGER = "challenger"
"""Alias of the version that wants to become the champion."""
