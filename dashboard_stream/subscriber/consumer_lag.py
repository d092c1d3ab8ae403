"""Measures how far the group is behind, in a thread of its own: asking a broker that is away blocks for seconds."""

import threading
import time
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from common.broker_address import BrokerUnavailable, reachable_servers
from common.health.state import Health
from common.names import CONSUMER_GROUP, SOURCE_TOPIC
from dashboard_stream.metrics import LAG

REST_S = 10.0
"""Pause while nobody asks; a measurement takes 3 ms of a core."""
RETRY_S = 2.0
FRESH_S = 0.2
"""An answer to somebody who asks is not older than this."""
LAG_TIMEOUT_S = 2.0
"""So long somebody who asks waits for the broker."""

Offsets = dict[TopicPartition, int]


class LagReporter(threading.Thread):
    """Sets the lag metric and tells `health` whether the broker answers; measures anew when asked."""

    def __init__(self, bootstrap_servers: str, health: Health, stop: threading.Event) -> None:
        super().__init__(name="lag", daemon=True)
        self._bootstrap_servers, self._health, self._stop_event = bootstrap_servers, health, stop
        self._changed = threading.Condition()
        # All of these only while `_changed` is held.
        self._asked = False
        self._stream: dict[str, int] = {}
        self._problem: str | None = "not measured yet"
        self._began_s = self._ended_s = -FRESH_S

    def run(self) -> None:
        """Measure until told to stop."""
        while not self._stop_event.is_set():
            self._begin()
            try:
                self._measure_until_broken()
            except (BrokerUnavailable, KafkaError) as error:
                self._health.mark_missing("broker", f"{error}")
                # Rather none than an old one, which would look as if all were well.
                LAG.clear()
                self._finish({}, f"{error}")
                self._rest(RETRY_S)

    def stream(self) -> tuple[bool, dict[str, Any]]:
        """Whether the broker answers; `settled`: offsets that the group has committed, `open`: messages behind them.

        Sums over the partitions. `settled` counts from the topic's beginning, over every restart of every member.
        Several threads may ask at once; they share a measurement.
        """
        with self._changed:
            asked_s = time.monotonic()

            def answered() -> bool:
                # Once so, it stays so: whoever gets the lock late, because many ask at once, has not asked in vain.
                return asked_s - self._ended_s <= FRESH_S

            if not answered():
                stuck = self._began_s > self._ended_s and asked_s - self._began_s > LAG_TIMEOUT_S
                self._asked = True
                self._changed.notify_all()
                if stuck or not self._changed.wait_for(answered, LAG_TIMEOUT_S):
                    return False, {"reason": "the broker has not answered in time"}
            if self._problem is not None:
                return False, {"reason": self._problem}
            return True, dict(self._stream)

    def _measure_until_broken(self) -> None:
        # It commits nothing and is no member of the group.
        admin = KafkaAdminClient(
            bootstrap_servers=reachable_servers(self._bootstrap_servers),
            client_id="data-subscriber-lag",
            request_timeout_ms=5000,
            reconnect_backoff_max_ms=1000,
            bootstrap_timeout_ms=5000,
        )
        try:
            partitions, listed_s = _partitions(admin), time.monotonic()
            while not self._stop_event.is_set():
                self._begin()
                if not partitions or time.monotonic() - listed_s > REST_S:
                    partitions, listed_s = _partitions(admin), time.monotonic()
                self._finish(_measure(admin, partitions), None)
                self._health.mark_available("broker")
                self._rest(REST_S)
        finally:
            admin.close()

    def _begin(self) -> None:
        with self._changed:
            self._began_s = time.monotonic()

    def _finish(self, stream: dict[str, int], problem: str | None) -> None:
        with self._changed:
            self._stream, self._problem, self._ended_s = stream, problem, time.monotonic()
            self._asked = False
            self._changed.notify_all()

    def _rest(self, seconds: float) -> None:
        """Until somebody asks, or for so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked or self._stop_event.is_set(), seconds)


def _partitions(admin: KafkaAdminClient) -> set[TopicPartition]:
    (topic,) = admin.describe_topics([SOURCE_TOPIC])
    return {TopicPartition(SOURCE_TOPIC, each["partition_index"]) for each in topic["partitions"]}


def _measure(admin: KafkaAdminClient, partitions: set[TopicPartition]) -> dict[str, int]:
    """Sets the metric. The group first: so a message that is settled meanwhile is counted as open, not left out."""
    group = admin.list_group_offsets({CONSUMER_GROUP: [*partitions]})[CONSUMER_GROUP] if partitions else {}
    done: Offsets = {partition: answer.offset for partition, answer in group.items() if answer.offset >= 0}
    done |= _offsets(admin, partitions - done.keys(), OffsetSpec.EARLIEST)
    ends = _offsets(admin, partitions, OffsetSpec.LATEST)
    behind = {partition: max(ends[partition] - done[partition], 0) for partition in partitions}
    for partition, messages in behind.items():
        LAG.labels(partition.partition).set(messages)
    return {"settled": sum(done.values()), "open": sum(behind.values())}


def _offsets(admin: KafkaAdminClient, partitions: set[TopicPartition], spec: OffsetSpec) -> Offsets:
    answers = admin.list_partition_offsets(dict.fromkeys(partitions, spec), timeout_ms=5000)
    return {partition: answer.offset for partition, answer in answers.items()}
