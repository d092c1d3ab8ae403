"""Takes a batch over from the sink when the target refuses a message in it.

The sink stays failed at such a message for ever: its error tolerance covers what it cannot read, not what the database
refuses. Here every message of the batch gets its place, the table or the dead-letter topic, before the offsets move.
Killed at any point it has lost nothing, and the next attempt repeats it: rows are upserted, and a message that has its
dead letter gets no second one.
"""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import cursor as Cursor

from common.names import SINK_CONNECTOR, SOURCE_TOPIC
from common.postgres import Connection
from common.rows import parse_key, parse_message
from common.waiting import wait_until
from connect_reconciler.connect_client import ConnectClient, ConnectUnavailable, Offsets
from connect_reconciler.recovery import dead_letters
from connect_reconciler.topic_ranges import offset_bounds, range_consumer, read

log = logging.getLogger(__name__)

BATCH = 2000
"""Messages a partition. The sink polls 500 in all, and may fail up to a second of work behind its last commit."""

STOP_TIMEOUT_S = 30.0
GROUP_EMPTY_TIMEOUT_S = 30.0
"""Connect refuses to change the offsets while the sink's group has members; one that was killed is in it for 5 s."""

STATEMENT_TIMEOUT_MS = 30_000
"""A table that someone has locked must not hold the reconciler for ever."""

UPSERT = """
insert into cargo (id, "timestamp", dataset, image_path, target)
values (%(id)s, %(timestamp)s, %(dataset)s, %(image_path)s, %(target)s)
on conflict (id) do update set
    "timestamp" = excluded."timestamp", dataset = excluded.dataset,
    image_path = excluded.image_path, target = excluded.target
"""


class SkipResult(NamedTuple):
    """How many messages got their place, and how many of them as dead letters."""

    messages: int
    refused: int


def skip_refused_messages(connect: ConnectClient, bootstrap_servers: str, target: Connection) -> SkipResult:
    """Give every message of the sink's next batch its place and move the sink behind it.

    Raises `psycopg2.Error`, `KafkaError`, `BrokerUnavailable`, `UserError` or `ConnectUnavailable` with no offset
    moved. The sink is resumed in any case; where that fails too, the next look at Connect does it.
    """
    connect.stop(SINK_CONNECTOR)
    try:
        wait_until(lambda: connect.is_stopped(SINK_CONNECTOR), f"{SINK_CONNECTOR} stopped", STOP_TIMEOUT_S)
        messages, behind = _next_batch(bootstrap_servers, connect.sink_offsets(SINK_CONNECTOR))
        refused = _take_over(messages, bootstrap_servers, target)
        if behind:
            wait_until(lambda: _move(connect, behind), f"offsets of {SINK_CONNECTOR} moved", GROUP_EMPTY_TIMEOUT_S)
        log.warning("wrote %d messages for the sink, %d of them to the dead-letter topic", len(messages), refused)
        return SkipResult(len(messages), refused)
    finally:
        connect.resume(SINK_CONNECTOR)


def _move(connect: ConnectClient, offsets: Offsets) -> bool:
    try:
        connect.put_sink_offsets(SINK_CONNECTOR, offsets)
    except ConnectUnavailable:
        return False
    return True


def _next_batch(
    bootstrap_servers: str, committed: Mapping[tuple[str, int], int]
) -> tuple[list[Any], dict[tuple[str, int], int]]:
    """The messages from the committed offsets on, and the offsets behind them."""
    with range_consumer(bootstrap_servers) as consumer:
        ranges = {}
        for each, (first, last) in offset_bounds(consumer, SOURCE_TOPIC).items():
            # An offset that retention has overtaken starts at the first message that is left.
            start = max(committed.get((each.topic, each.partition), 0), first)
            ranges[each] = (start, min(start + BATCH, last))
        messages = read(consumer, ranges)
    return messages, {(each.topic, each.partition): stop for each, (start, stop) in ranges.items() if stop > start}


def _write(cursor: Cursor, message: Any) -> None:
    deleted = parse_key(message.key)
    if message.value is None and deleted is not None:
        cursor.execute("delete from cargo where id = %s", (deleted,))
    else:
        cursor.execute(UPSERT, parse_message(message.value).model_dump())


def _take_over(messages: list[Any], bootstrap_servers: str, target: Connection) -> int:
    """Write what the target takes, dead-letter what it refuses; the letters are safe before the rows are committed."""
    refused = []
    with target, target.cursor() as cursor:
        cursor.execute("set local statement_timeout = %s", (STATEMENT_TIMEOUT_MS,))
        for message in messages:
            cursor.execute("savepoint one_message")
            try:
                _write(cursor, message)
            except (psycopg2.DataError, psycopg2.IntegrityError) as error:
                refused.append((message, f"{error.pgcode}: {error.diag.message_primary}"))
                cursor.execute("rollback to savepoint one_message")
            # No row at all, or text with a character that PostgreSQL has no place for (NUL).
            except ValueError as error:
                refused.append((message, str(error)))
                cursor.execute("rollback to savepoint one_message")
            cursor.execute("release savepoint one_message")
        dead_letters.write(refused, bootstrap_servers)
    return len(refused)
