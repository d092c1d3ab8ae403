"""What the tests of the connectors share: the rows' topic from its inside, and the databases on both ends of it."""

import json
from collections.abc import Mapping
from itertools import count
from typing import Any

from kafka import KafkaProducer

from common.names import SINK_DEAD_LETTER_TOPIC, SOURCE_TOPIC
from common.waiting import wait_until
from connect_reconciler.recovery import dead_letters
from connect_reconciler.topic_ranges import offset_bounds, range_consumer, read
from dashboard_stream.subscriber.messages import Message, Partition
from tests.conftest import Stack

FIELDS = [
    {"field": "id", "type": "int64", "optional": False},
    {
        "field": "timestamp",
        "type": "string",
        "optional": False,
        "name": "io.debezium.time.ZonedTimestamp",
        "version": 1,
    },
    {"field": "dataset", "type": "string", "optional": False},
    {"field": "image_path", "type": "string", "optional": True},
    {"field": "target", "type": "int32", "optional": True},
]
# Ids that the source will not reach.
IDS = count(8_000_000_000)

Place = tuple[str, int, int]
"""Topic, partition and offset."""


class Topic:
    """Writes to the rows' topic, past the source connector, and reads the sink's dead letters."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", reconnect_backoff_max_ms=1000)

    def write(self, value: bytes | None, key: bytes | None = None) -> Place:
        # One partition, so that what follows waits behind it. The key is the row's id where there is one.
        row_id = Message(Partition(SOURCE_TOPIC, 0), 0, b"1", value).readable_id()
        sent = self._producer.send(SOURCE_TOPIC, key=key or str(row_id).encode(), value=value, partition=0).get(
            timeout=30
        )
        return sent.topic, sent.partition, sent.offset

    def write_row(self, **changes: object) -> int:
        row = {"id": next(IDS), "timestamp": "2026-11-21T04:35:23.123456Z", "dataset": "monday", "target": 0}
        row |= {"image_path": "wood/wood_1.jpg"} | changes
        self.write(message(row))
        return int(str(row["id"]))

    def letters(self) -> list[tuple[Place, Any]]:
        with range_consumer(self._bootstrap_servers) as consumer:
            letters = read(consumer, offset_bounds(consumer, SINK_DEAD_LETTER_TOPIC))
        return [(_origin(dict(letter.headers)), letter) for letter in letters]

    def letters_from(self, origin: Place) -> list[Any]:
        return [letter for found, letter in self.letters() if found == origin]

    def close(self) -> None:
        self._producer.close()


def _origin(headers: Mapping[str, bytes]) -> Place:
    return (
        headers[dead_letters.TOPIC].decode(),
        int(headers[dead_letters.PARTITION]),
        int(headers[dead_letters.OFFSET]),
    )


def message(payload: Mapping[str, object]) -> bytes:
    return json.dumps({"schema": {"type": "struct", "optional": False, "fields": FIELDS}, "payload": payload}).encode()


def query(stack: Stack, side: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with stack.source() if side == "source" else stack.target() as session, session.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def arrives(stack: Stack, row: int, timeout_s: float = 60) -> None:
    wait_until(
        lambda: query(stack, "target", "select id from cargo where id = %s", row),
        f"row {row} in the replica",
        timeout_s,
    )


def insert(stack: Stack) -> int:
    (row,) = query(stack, "source", "insert into cargo (image_path) values ('wood/wood_1.jpg') returning id")
    return int(row[0])
