"""Takes a batch over from the sink when the target refuses a message in it.

The sink stays failed at such a message for ever: its error tolerance covers what it cannot read, not what the database
refuses. Here every message of the batch gets its place, the table or the dead-letter topic, before the offsets move.
Killed at any point it has lost nothing, and the next attempt repeats it: rows are upserted, and a message that is
dead-lettered twice carries the same origin in its headers.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

import psycopg2
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from common.names import SINK_CONNECTOR, SINK_DEAD_LETTER_TOPIC, SOURCE_TOPIC
from common.postgres import Connection
from common.rows import InvalidMessage, parse_message
from common.waiting import wait_until
from connect_reconciler.connect_client import ConnectClient, ConnectUnavailable

log = logging.getLogger(__name__)

BATCH = 500
"""Messages a partition: the sink polls at most 500 in all, so the refused one is among them."""

STOP_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 60.0
LEAVE_TIMEOUT_S = 30.0
"""The stopped task must have left its consumer group before Connect lets the offsets be changed."""

UPSERT = """
insert into cargo (id, "timestamp", dataset, image_path, target)
values (%(id)s, %(timestamp)s, %(dataset)s, %(image_path)s, %(target)s)
on conflict (id) do update set
    "timestamp" = excluded."timestamp", dataset = excluded.dataset,
    image_path = excluded.image_path, target = excluded.target
"""


def step_over(connect: ConnectClient, bootstrap_servers: str, target: Connection) -> int:
    """Give every message of the sink's next batch its place and move the sink behind it; return the dead letters.

    Raises `psycopg2.OperationalError`, `KafkaError` or `ConnectUnavailable` with no offset moved. The sink is resumed
    in any case.
    """
    connect.stop(SINK_CONNECTOR)
    try:
        wait_until(lambda: _stopped(connect), f"{SINK_CONNECTOR} stopped", STOP_TIMEOUT_S)
        messages, behind = _next_batch(bootstrap_servers, connect.sink_offsets(SINK_CONNECTOR))
        refused = _take_over(messages, bootstrap_servers, target)
        if behind:
            wait_until(lambda: _move(connect, behind), f"offsets of {SINK_CONNECTOR} moved", LEAVE_TIMEOUT_S)
        log.warning("took over %d messages from the sink, %d of them dead letters", len(messages), refused)
        return refused
    finally:
        connect.resume(SINK_CONNECTOR)


def _stopped(connect: ConnectClient) -> bool:
    status = connect.connectors()[SINK_CONNECTOR]
    return status.state == "STOPPED" and not status.task_states


def _move(connect: ConnectClient, offsets: Mapping[tuple[str, int], int]) -> bool:
    try:
        connect.put_sink_offsets(SINK_CONNECTOR, offsets)
    except ConnectUnavailable:
        return False
    return True


def _next_batch(
    bootstrap_servers: str, committed: Mapping[tuple[str, int], int]
) -> tuple[list[Any], dict[tuple[str, int], int]]:
    """The messages from the committed offsets on, and the offsets behind them."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False, request_timeout_ms=15000)
    try:
        partitions = [TopicPartition(SOURCE_TOPIC, number) for number in consumer.partitions_for_topic(SOURCE_TOPIC)]
        consumer.assign(partitions)
        first, end = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        # An offset that retention has overtaken starts at the first message that is left.
        start = {each: max(committed.get((each.topic, each.partition), 0), first[each]) for each in partitions}
        stop = {each: min(start[each] + BATCH, end[each]) for each in partitions}
        for each in partitions:
            consumer.seek(each, start[each])
        messages = []
        deadline = time.monotonic() + READ_TIMEOUT_S
        while any(consumer.position(each) < stop[each] for each in partitions):
            if time.monotonic() > deadline:
                raise KafkaTimeoutError(f"the sink's batch could not be read within {READ_TIMEOUT_S:g} s")
            for each, batch in consumer.poll(timeout_ms=1000).items():
                messages += [message for message in batch if message.offset < stop[each]]
    finally:
        consumer.close()
    behind = {(each.topic, each.partition): stop[each] for each in partitions if stop[each] > start[each]}
    return messages, behind


def _take_over(messages: list[Any], bootstrap_servers: str, target: Connection) -> int:
    """Upsert what the target takes, dead-letter what it refuses; the letters are safe before the rows are committed."""
    refused = []
    with target, target.cursor() as cursor:
        for message in messages:
            cursor.execute("savepoint one_message")
            try:
                cursor.execute(UPSERT, parse_message(message.value).model_dump())
            except (InvalidMessage, psycopg2.DataError, psycopg2.IntegrityError) as error:
                cursor.execute("rollback to savepoint one_message")
                refused.append((message, str(error).strip()))
        _send(refused, bootstrap_servers)
    return len(refused)


def _send(refused: list[tuple[Any, str]], bootstrap_servers: str) -> None:
    if not refused:
        return
    producer = KafkaProducer(
        bootstrap_servers=bootstrap_servers, acks="all", reconnect_backoff_max_ms=1000, delivery_timeout_ms=30000
    )
    try:
        sent = []
        for message, reason in refused:
            # The names that Connect itself uses for what its converters cannot read.
            headers = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
            named = [(f"__connect.errors.{name}", str(value).encode()) for name, value in headers.items()]
            named.append(("__connect.errors.exception.message", reason.encode()))
            sent.append(producer.send(SINK_DEAD_LETTER_TOPIC, key=message.key, value=message.value, headers=named))
        for each in sent:
            each.get(timeout=30)
    finally:
        producer.close()
