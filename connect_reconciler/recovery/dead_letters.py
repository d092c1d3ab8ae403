"""Messages that the target refused, written where Connect itself writes those that it cannot read."""

import hashlib
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer

from common.broker_address import reachable_servers
from common.names import SINK_DEAD_LETTER_TOPIC
from connect_reconciler.topic_ranges import offset_bounds, range_consumer, read

DUPLICATE_SEARCH_MESSAGES = 10_000
"""Letters a partition that are looked through for doubles: more than any batch that is taken over."""

DELIVERY_TIMEOUT_S = 30
REASON_CHARACTERS = 1000

# The headers' names are Connect's own, so that one reader understands both writers.
TOPIC, PARTITION, OFFSET, REASON = (
    f"__connect.errors.{name}" for name in ("topic", "partition", "offset", "exception.message")
)

Origin = tuple[str, int, int, bytes]
"""Where a message lay, and a hash of what it said: a topic that is made anew begins at offset 0 again."""


def write(refused: Sequence[tuple[Any, str]], bootstrap_servers: str) -> int:
    """Write each (message, reason) that is not there yet; return how many. All are on the broker's disk afterwards.

    Raises `BrokerUnavailable` or `KafkaError` with some of them written perhaps; calling again completes the rest.
    """
    if not refused:
        return 0
    present = _origins(bootstrap_servers)
    new = [(message, reason) for message, reason in refused if _origin(message) not in present]
    producer = KafkaProducer(
        bootstrap_servers=reachable_servers(bootstrap_servers),
        acks="all",
        reconnect_backoff_max_ms=1000,
        delivery_timeout_ms=DELIVERY_TIMEOUT_S * 1000,
        # The whole message plus headers: room for one of the broker's largest size.
        max_request_size=2 * 1024 * 1024,
        compression_type="gzip",
    )
    try:
        sent = [
            producer.send(
                SINK_DEAD_LETTER_TOPIC, key=message.key, value=message.value, headers=_headers(message, reason)
            )
            for message, reason in new
        ]
        for each in sent:
            each.get(timeout=DELIVERY_TIMEOUT_S)
    finally:
        producer.close(timeout=DELIVERY_TIMEOUT_S)
    return len(new)


def _headers(message: Any, reason: str) -> list[tuple[str, bytes]]:
    topic, partition, offset, _ = _origin(message)
    texts = {TOPIC: topic, PARTITION: str(partition), OFFSET: str(offset), REASON: reason[:REASON_CHARACTERS]}
    return [(name, text.encode(errors="replace")) for name, text in texts.items()]


def _origin(message: Any) -> Origin:
    return message.topic, message.partition, message.offset, _content(message)


def _content(message: Any) -> bytes:
    parts = (b"-" if part is None else part for part in (message.key, message.value))
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def _origins(bootstrap_servers: str) -> set[Origin]:
    """Where the letters that are already there came from."""
    with range_consumer(bootstrap_servers) as consumer:
        bounds = offset_bounds(consumer, SINK_DEAD_LETTER_TOPIC)
        tail = {each: (max(first, last - DUPLICATE_SEARCH_MESSAGES), last) for each, (first, last) in bounds.items()}
        letters = read(consumer, tail)
    found = set()
    for letter in letters:
        headers = {name: value or b"" for name, value in letter.headers}
        partition, offset = headers.get(PARTITION, b""), headers.get(OFFSET, b"")
        # A letter from anywhere else may lack them.
        if partition.isdigit() and offset.isdigit():
            topic = headers.get(TOPIC, b"").decode(errors="replace")
            found.add((topic, int(partition), int(offset), _content(letter)))
    return found
