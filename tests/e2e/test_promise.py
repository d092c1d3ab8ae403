"""The promise, from outside: whatever is killed, every committed row ends as one prediction or one dead letter."""

import json
import random
import threading
import time
from collections.abc import Iterator

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from psycopg2.extras import execute_values

from common.names import DEAD_LETTER_TOPIC, SINK_DEAD_LETTER_TOPIC, SOURCE_TOPIC
from common.waiting import wait_until
from local_stack.inspection.account import source_end, take_account
from tests.conftest import Stack
from tests.timeouts import WAIT_TIMEOUT_S

ROWS = 2000
CHUNK = 20
PAUSE_S = 0.15
"""Between chunks: the rows keep flowing while the services are killed one after the other."""

NOT_JSON = b"this is not JSON"
INSERT = "insert into cargo (dataset, image_path, target) values %s returning id, dataset, image_path, target"


class Inserter(threading.Thread):
    """Commits `ROWS` rows in chunks and remembers what was committed."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self._stack = stack
        self.committed: dict[int, tuple[str, str, int]] = {}
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            manifest = [json.loads(line) for line in (self._stack.manifests / "monday.json").read_text().splitlines()]
            choose = random.Random(7)
            with self._stack.source() as source, source.cursor() as cursor:
                for _ in range(ROWS // CHUNK):
                    entries = [choose.choice(manifest) for _ in range(CHUNK)]
                    rows = [("monday", entry["image_path"], entry["target"]) for entry in entries]
                    for row in execute_values(cursor, INSERT, rows, fetch=True):
                        self.committed[row[0]] = row[1:]
                    time.sleep(PAUSE_S)
        except Exception as error:
            self.error = error


def count_predictions(stack: Stack) -> int:
    with stack.target() as target, target.cursor() as cursor:
        cursor.execute("select count(*) from cargo_prediction")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def has_prediction(stack: Stack, row_id: int) -> bool:
    with stack.target() as target, target.cursor() as cursor:
        cursor.execute("select 1 from cargo_prediction where id = %s", (row_id,))
        return cursor.fetchone() is not None


def kill_while_rows_flow(stack: Stack, service: str) -> None:
    before = count_predictions(stack)
    wait_until(
        lambda: count_predictions(stack) > before, f"rows flow before {service} is killed", timeout_s=WAIT_TIMEOUT_S
    )
    stack.kill(service)


def commit_out_of_order(stack: Stack) -> tuple[int, int]:
    """Two transactions: the one that took the lower id commits after the other's row has been predicted."""
    row = ("monday", "wood/wood_0.jpg", 4)
    with stack.source() as slow, stack.source() as quick:
        slow.autocommit = False
        with slow.cursor() as cursor:
            lower = execute_values(cursor, INSERT, [row], fetch=True)[0][0]
        with quick.cursor() as cursor:
            higher = execute_values(cursor, INSERT, [row], fetch=True)[0][0]
        assert lower < higher
        wait_until(lambda: has_prediction(stack, higher), "the higher id predicted first", timeout_s=WAIT_TIMEOUT_S)
        assert not has_prediction(stack, lower)
        slow.commit()
    return lower, higher


def insert_row_without_image(stack: Stack) -> int:
    with stack.source() as source, source.cursor() as cursor:
        row_id = execute_values(cursor, INSERT, [("monday", "brick/not_there.jpg", 1)], fetch=True)[0][0]
    return int(row_id)


def send_garbage(stack: Stack) -> tuple[int, int]:
    """Partition and offset of a message that is not JSON."""
    producer = KafkaProducer(bootstrap_servers=stack.kafka, acks="all")
    sent = producer.send(SOURCE_TOPIC, key=b"garbage", value=NOT_JSON).get(timeout=30)
    producer.close()
    return sent.partition, sent.offset


def messages(stack: Stack, topic: str) -> Iterator[tuple[bytes, dict[str, bytes]]]:
    """Value and headers of everything in a topic."""
    consumer = KafkaConsumer(bootstrap_servers=stack.kafka, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for batch in consumer.poll(timeout_ms=1000).values():
                for message in batch:
                    yield message.value, dict(message.headers)
    finally:
        consumer.close()


def test_every_row_has_one_outcome_whatever_is_killed(stack: Stack) -> None:
    inserter = Inserter(stack)
    inserter.start()
    kill_while_rows_flow(stack, "data-subscriber")
    missing_image = insert_row_without_image(stack)
    kill_while_rows_flow(stack, "api")
    garbage_partition, garbage_offset = send_garbage(stack)
    kill_while_rows_flow(stack, "connect")
    lower, higher = commit_out_of_order(stack)
    kill_while_rows_flow(stack, "broker")
    inserter.join()
    assert inserter.error is None
    assert len(inserter.committed) == ROWS

    until = source_end(stack.source_url).last_id
    wait_until(
        lambda: take_account(stack.source_url, stack.target_url, until).complete,
        "an outcome for every row",
        timeout_s=WAIT_TIMEOUT_S,
    )

    with stack.target() as target, target.cursor() as cursor:
        cursor.execute(
            "select id, dataset, image_path, label from cargo_prediction where id = any(%s)",
            (list(inserter.committed),),
        )
        predicted = {row[0]: row[1:] for row in cursor.fetchall()}
        assert predicted == inserter.committed
        cursor.execute(
            "select avg((target = label)::int) from cargo_prediction where id = any(%s)", (list(inserter.committed),)
        )
        accuracy = cursor.fetchone()
        assert accuracy is not None
        assert accuracy[0] > 0.95
        cursor.execute("select count(*) from cargo_prediction where id in (%s, %s)", (lower, higher))
        assert cursor.fetchone() == (2,)
        cursor.execute("select reason from cargo_dead_letter where id = %s", (missing_image,))
        (reason,) = cursor.fetchone() or ("",)
        assert "brick/not_there.jpg" in reason
        cursor.execute(
            'select topic, id from cargo_dead_letter where "partition" = %s and "offset" = %s',
            (garbage_partition, garbage_offset),
        )
        assert cursor.fetchone() == (SOURCE_TOPIC, None)

    with stack.source() as source, source.cursor() as cursor:
        columns = 'id, "timestamp", dataset, image_path, target'
        cursor.execute(f"select {columns} from cargo where id <= %s order by id", (until,))
        rows = cursor.fetchall()
    with stack.target() as target, target.cursor() as cursor:

        def replicated() -> bool:
            cursor.execute(f"select {columns} from cargo where id <= %s order by id", (until,))
            return cursor.fetchall() == rows

        wait_until(replicated, "the replica equals the source", timeout_s=WAIT_TIMEOUT_S)

    letters = dict(messages(stack, DEAD_LETTER_TOPIC))
    origin = {"topic": SOURCE_TOPIC, "partition": str(garbage_partition), "offset": str(garbage_offset)}
    assert {name: letters[NOT_JSON][name].decode() for name in origin} == origin
    assert b"JSON" in letters[NOT_JSON]["reason"]
    assert any(value == NOT_JSON for value, _ in messages(stack, SINK_DEAD_LETTER_TOPIC))
