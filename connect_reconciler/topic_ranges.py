"""Reads ranges of a topic without a consumer group: nothing is committed, nobody is disturbed."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError

from common.broker_address import reachable_servers

REQUEST_TIMEOUT_MS = 15000
READ_TIMEOUT_S = 60.0


@contextmanager
def range_consumer(bootstrap_servers: str) -> Iterator[KafkaConsumer]:
    """A consumer for `offset_bounds` and `read`. Raises `BrokerUnavailable` or `KafkaError`."""
    consumer = KafkaConsumer(
        bootstrap_servers=reachable_servers(bootstrap_servers),
        enable_auto_commit=False,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        reconnect_backoff_max_ms=1000,
    )
    try:
        yield consumer
    finally:
        consumer.close()


def offset_bounds(consumer: KafkaConsumer, topic: str) -> dict[TopicPartition, tuple[int, int]]:
    """For each partition the offset of the first message that is left, and the one behind the last."""
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
    if not partitions:
        raise UnknownTopicOrPartitionError(f"topic {topic} is not there")
    first, last = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    return {each: (first[each], last[each]) for each in partitions}


def read(consumer: KafkaConsumer, ranges: Mapping[TopicPartition, tuple[int, int]]) -> list[Any]:
    """The messages of each partition's half-open range, in order within a partition."""
    wanted = {each: bounds for each, bounds in ranges.items() if bounds[0] < bounds[1]}
    consumer.assign(list(wanted))
    for each, (start, _) in wanted.items():
        consumer.seek(each, start)
    messages: list[Any] = []
    deadline = time.monotonic() + READ_TIMEOUT_S
    while any(consumer.position(each) < stop for each, (_, stop) in wanted.items()):
        if time.monotonic() > deadline:
            raise KafkaTimeoutError(f"messages could not be read within {READ_TIMEOUT_S:g} s")
        for each, batch in consumer.poll(timeout_ms=1000).items():
            messages += [message for message in batch if message.offset < wanted[each][1]]
    return messages
