"""Measures how far the group is behind, in a thread of its own: asking a broker that is away blocks for seconds."""

import logging
import threading

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from common.names import CONSUMER_GROUP, SOURCE_TOPIC
from common.network import BrokerAway, servers_that_listen
from common.service import Health
from dashboard_stream.metrics import LAG

log = logging.getLogger(__name__)
EVERY_S = 2.0


class LagReporter(threading.Thread):
    """Sets the lag metric every two seconds, and tells `health` whether the broker answers."""

    def __init__(self, bootstrap_servers: str, health: Health, stop: threading.Event) -> None:
        super().__init__(name="lag", daemon=True)
        self._bootstrap_servers, self._health, self._stop_event = bootstrap_servers, health, stop

    def run(self) -> None:
        """Report until told to stop."""
        while not self._stop_event.is_set():
            try:
                self._report_until_broken()
            except (BrokerAway, KafkaError) as error:
                self._health.lacks("broker", f"{error}")
                self._stop_event.wait(EVERY_S)

    def _report_until_broken(self) -> None:
        # It never subscribes, so it is no member of the group whose offsets it reads.
        consumer = KafkaConsumer(
            bootstrap_servers=servers_that_listen(self._bootstrap_servers),
            client_id="data-subscriber-lag",
            group_id=CONSUMER_GROUP,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            reconnect_backoff_max_ms=1000,
            bootstrap_timeout_ms=5000,
        )
        try:
            while not self._stop_event.is_set():
                numbers = consumer.partitions_for_topic(SOURCE_TOPIC) or set()
                partitions = [TopicPartition(SOURCE_TOPIC, number) for number in sorted(numbers)]
                beginnings = consumer.beginning_offsets(partitions, timeout_ms=5000)
                ends = consumer.end_offsets(partitions, timeout_ms=5000)
                for partition in partitions:
                    committed = consumer.committed(partition, timeout_ms=5000)
                    done = beginnings[partition] if committed is None else committed
                    LAG.labels(partition.partition).set(ends[partition] - done)
                self._health.has("broker")
                self._stop_event.wait(EVERY_S)
        finally:
            consumer.close(autocommit=False, timeout_ms=1000)
