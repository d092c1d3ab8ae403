"""The subscriber's place in the consumer group: reading, holding partitions while something is away, committing."""

import logging
import threading
import time
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import MemberState, OffsetAndMetadata

from common.broker_address import BrokerUnavailable, reachable_servers
from common.names import CONSUMER_GROUP, SOURCE_TOPIC
from dashboard_stream.metrics import REBUILDS
from dashboard_stream.subscriber.messages import Message, Partition

log = logging.getLogger(__name__)

POLL_MS = 500
"""Shorter polls can hang a joining group for ever (kafka-python 3.0.12). Messages that are there end a poll at once."""
REBALANCE_TIMEOUT_S = 30.0
"""A consumer that is not settled in its group for so long is replaced; a rebalance takes a few seconds."""
COMMIT_MS = 3000


class TopicReader:
    """A `KafkaConsumer` that is made when needed, and made anew when it is stuck."""

    def __init__(self, bootstrap_servers: str, session_timeout_s: float, stop: threading.Event) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._session_timeout_ms = round(session_timeout_s * 1000)
        self._stop = stop
        self._consumer: KafkaConsumer | None = None
        self._settled_at_s = time.monotonic()

    def poll(self, most: int) -> list[Message]:
        """At most `most` messages, at once if there are any, else after half a second. Raises `BrokerUnavailable`."""
        consumer = self._ready_consumer()
        consumer.resume(*consumer.paused())
        return [_message(record) for records in self._poll(consumer, most).values() for record in records]

    def pause_for(self, seconds: float, first: dict[Partition, int], following: dict[Partition, int]) -> set[Partition]:
        """Stay in the group for `seconds`, or until told to stop, without reading on. Raises `BrokerUnavailable`.

        The batch in hand lies between the offsets `first` and `following`. Returns those of its partitions that are
        still ours and stand right behind it. The messages of the others are read again, here or by another member.
        """
        end_s = time.monotonic() + seconds
        while True:
            consumer = self._ready_consumer()
            consumer.pause(*consumer.assignment())
            # A partition that is assigned during the poll is not paused yet: put back what it brings.
            for partition, records in self._poll(consumer, 1).items():
                consumer.seek(partition, records[0].offset)
            if self._stop.is_set() or time.monotonic() >= end_s:
                break
        held = {partition for partition, offset in following.items() if self._stands_at(partition, offset)}
        for partition in following.keys() - held:
            self._go_back(partition, first[partition])
        return held

    def has_partitions(self) -> bool:
        """Whether the group gave us anything to read."""
        return self._consumer is not None and bool(self._consumer.assignment())

    def stands_by(self) -> bool:
        """Whether the group has more members than the topic has partitions, and none is left for us."""
        return (
            self._consumer is not None
            and not self._consumer.assignment()
            and self._consumer.group_metadata().state == MemberState.STABLE
            and bool(self._consumer.partitions_for_topic(SOURCE_TOPIC))
        )

    def commit(self, next_offsets: dict[Partition, int]) -> None:
        """Commit. A failure is only told: the messages may be delivered again, which changes nothing."""
        if self._consumer is None:
            return
        offsets = {TopicPartition(*place): OffsetAndMetadata(offset) for place, offset in next_offsets.items()}
        try:
            self._consumer.commit(offsets, timeout_ms=COMMIT_MS)
        except KafkaError as error:
            log.warning("offset commit failed (%s); the messages may be delivered again", error)

    def close(self) -> None:
        """Leave the group, so that another member gets the partitions at once."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            try:
                consumer.close(autocommit=False, timeout_ms=2000)
            except (KafkaError, RuntimeError) as error:
                log.warning("the consumer did not close cleanly: %s", error)

    def _poll(self, consumer: KafkaConsumer, most: int) -> dict[TopicPartition, list[Any]]:
        try:
            polled: dict[TopicPartition, list[Any]] = consumer.poll(POLL_MS, max_records=most)
        except KafkaError as error:
            log.warning("the consumer fails: %s", error)
            self._replace()
            return {}
        if consumer.group_metadata().state == MemberState.STABLE:
            self._settled_at_s = time.monotonic()
        elif time.monotonic() - self._settled_at_s > REBALANCE_TIMEOUT_S:
            log.warning("the consumer has not settled in its group for %g s", REBALANCE_TIMEOUT_S)
            self._replace()
        return polled

    def _replace(self) -> None:
        REBUILDS.inc()
        self.close()

    def _ready_consumer(self) -> KafkaConsumer:
        if self._consumer is None:
            self._consumer = self._new_consumer()
            self._settled_at_s = time.monotonic()
        return self._consumer

    def _new_consumer(self) -> KafkaConsumer:
        servers = reachable_servers(self._bootstrap_servers)
        try:
            return KafkaConsumer(
                SOURCE_TOPIC,
                bootstrap_servers=servers,
                client_id="data-subscriber",
                group_id=CONSUMER_GROUP,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=self._session_timeout_ms,
                heartbeat_interval_ms=self._session_timeout_ms // 4,
                # 30 s by default: so long it would stay away after the broker is back.
                reconnect_backoff_max_ms=1000,
                # 5 minutes by default: so long it would not see that the topic was created.
                metadata_max_age_ms=10_000,
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=5000,
            )
        except KafkaError as error:
            raise BrokerUnavailable(f"broker {self._bootstrap_servers}: {error}") from error

    def _go_back(self, partition: Partition, offset: int) -> None:
        """Make sure that nothing is skipped: a partition that was taken and given back may stand behind the batch."""
        place = TopicPartition(*partition)
        if self._consumer is not None and place in self._consumer.assignment():
            self._consumer.seek(place, offset)

    def _stands_at(self, partition: Partition, offset: int) -> bool:
        place = TopicPartition(*partition)
        if self._consumer is None or place not in self._consumer.assignment():
            return False
        try:
            # A rebalance may take a partition and give it back: with its position if nobody had it in between,
            # else with the committed one.
            return bool(self._consumer.position(place, timeout_ms=0) == offset)
        except KafkaError:
            return False


def _message(record: Any) -> Message:
    return Message(
        Partition(record.topic, record.partition),
        record.offset,
        record.key,
        record.value,
        record.headers,
        record.timestamp,
    )
