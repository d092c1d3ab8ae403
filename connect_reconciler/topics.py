"""The topics of the platform. The broker makes none by itself, so that a misspelt name is an error."""

from kafka import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

from common.broker_address import reachable_servers
from common.names import DEAD_LETTER_TOPIC, SINK_DEAD_LETTER_TOPIC, SOURCE_TOPIC

TOPICS = {
    SOURCE_TOPIC: 3,
    DEAD_LETTER_TOPIC: 3,
    SINK_DEAD_LETTER_TOPIC: 3,
    # Debezium's own sign of life; one small message every few seconds.
    "__debezium-heartbeat.postgres-source": 1,
}
"""Partitions by topic."""


def ensure_topics(bootstrap_servers: str) -> list[str]:
    """Create the topics that are missing and return their names. Raises `BrokerUnavailable` or `KafkaError`."""
    admin = KafkaAdminClient(
        bootstrap_servers=reachable_servers(bootstrap_servers),
        request_timeout_ms=5000,
        bootstrap_timeout_ms=5000,
        # By default a client that lost its broker for a minute stays away 25 s longer than the broker.
        reconnect_backoff_max_ms=1000,
    )
    try:
        present = set(admin.list_topics())
        missing = {name: partitions for name, partitions in TOPICS.items() if name not in present}
        if missing:
            admin.create_topics(
                {name: {"num_partitions": count, "replication_factor": 1} for name, count in missing.items()}
            )
    except TopicAlreadyExistsError:
        # Another reconciler was faster.
        return []
    finally:
        admin.close()
    return list(missing)
