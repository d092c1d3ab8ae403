"""The subscriber's database work, dead-letter topic and group membership, each against the real thing."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from kafka import KafkaConsumer
from psycopg2.extras import execute_values

from common.names import DEAD_LETTER_TOPIC
from common.paths import REPOSITORY
from common.postgres import apply_schema, connect
from common.rows import CargoRow
from common.settings import local_port
from common.waiting import wait_until
from dashboard_stream.clients.target_database import DatabaseUnavailable, TargetDatabase
from dashboard_stream.subscriber.batches import DeadLetter, Message, Partition, Prediction
from dashboard_stream.subscriber.dead_letter_topic import DeadLetterTopic
from dashboard_stream.subscriber.prediction_store import PRUNE_EVERY_ROWS, PredictionStore, RowsRefused
from data_generate.rows.manifests import read_manifest
from tests.conftest import Stack
from tests.timeouts import WAIT_TIMEOUT_S

PLACE = Partition("rows", 1)
KEPT = 100
NOW = datetime(2026, 11, 21, 4, 35, 23, 123456, UTC)


class Target:
    """A schema in the target database with the subscriber's tables."""

    def __init__(self, url: str) -> None:
        self._connection = connect(url, "test")
        apply_schema(self._connection, REPOSITORY / "kafka" / "target_schema.sql")
        self.database = TargetDatabase(url)
        self.store = PredictionStore(self.database, KEPT)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def predictions(self) -> list[tuple[object, ...]]:
        return self.query("select id, image_path, model_version from cargo_prediction order by id")

    def letters(self) -> list[tuple[object, ...]]:
        return self.query('select "offset", id, reason from cargo_dead_letter order by "offset"')

    def record(self, *letters: DeadLetter) -> int:
        news = self.store.filter_new(letters)
        self.store.write([], news)
        return len(news)

    def close(self) -> None:
        self._connection.close()
        self.database.close()


@pytest.fixture
def target(stack: Stack) -> Iterator[Target]:
    schema = f"subscriber_{uuid.uuid4().hex}"
    with stack.target() as connection, connection.cursor() as cursor:
        cursor.execute(f"create schema {schema}")
    target = Target(f"{stack.target_url}?options=-csearch_path%3D{schema}")
    yield target
    target.close()
    with stack.target() as connection, connection.cursor() as cursor:
        cursor.execute(f"drop schema {schema} cascade")


def row(row_id: int, image_path: str = "wood/a.jpg", target: int | None = 4) -> CargoRow:
    return CargoRow(id=row_id, timestamp=NOW, dataset="monday", image_path=image_path, target=target)


def predicted(cargo: CargoRow, model_version: str = "1", target: int = 4, embedding: bytes | None = None) -> Prediction:
    prediction = Prediction(cargo, target, "wood", 0.75, model_version, NOW)
    if embedding is None:
        return prediction
    return replace(prediction, content="c0ffee", embedding=embedding, embedding_method="one")


def dead(offset: int, cargo: CargoRow | None = None, row_id: int | None = None) -> DeadLetter:
    message = Message(PLACE, offset, b"key", b"value")
    return DeadLetter(message, cargo, cargo.id if cargo else row_id, "unreadable", f"reason {offset}")


def test_every_column_is_stored(target: Target) -> None:
    assert target.store.write([predicted(row(1, target=None))], []) == {1}
    assert target.query("select * from cargo_prediction") == [(1, NOW, "monday", "wood/a.jpg", 4, None, 0.75, "1", NOW)]


def test_a_message_delivered_again_keeps_the_first_prediction(target: Target) -> None:
    for label in (4, None):
        cargo = row(1 if label else 2, target=label)
        assert target.store.write([predicted(cargo, "1")], []) == {cargo.id}
        assert target.store.write([predicted(cargo, "2")], []) == set()
    assert target.predictions() == [(1, "wood/a.jpg", "1"), (2, "wood/a.jpg", "1")]


@pytest.mark.parametrize("changed", [row(1, "wood/b.jpg"), row(1, target=3), row(1, target=None)])
def test_a_changed_row_is_predicted_anew(target: Target, changed: CargoRow) -> None:
    target.store.write([predicted(row(1), "1")], [])
    assert target.store.write([predicted(changed, "2")], []) == {1}
    assert target.predictions() == [(1, changed.image_path, "2")]


def embeddings(target: Target) -> list[tuple[int, bytes]]:
    rows = target.query("select id, content, method, embedding from cargo_prediction_embedding order by id")
    assert all(row[1:3] == ("c0ffee", "one") for row in rows)
    return [(cast("int", row[0]), bytes(cast("memoryview", row[3]))) for row in rows]


def test_an_embedding_follows_the_prediction_that_is_stored(target: Target) -> None:
    target.store.write([predicted(row(1), "1", embedding=b"a"), predicted(row(2), "1")], [])
    assert embeddings(target) == [(1, b"a")]
    target.store.write([predicted(row(1), "2", embedding=b"b"), predicted(row(2), "2", embedding=b"b")], [])
    assert embeddings(target) == [(1, b"a")], "delivered again: the first prediction stays"
    target.store.write([predicted(row(1, target=3), "2", embedding=b"c"), predicted(row(3), embedding=b"d")], [])
    assert embeddings(target) == [(1, b"c"), (3, b"d")]
    target.store.write([predicted(row(1, target=2), "3")], [])
    assert embeddings(target) == [(3, b"d")], "predicted anew by a model that gives none"
    target.record(dead(8, row(3, "gone.jpg")))
    assert embeddings(target) == []


def test_only_the_newest_embeddings_are_kept(target: Target) -> None:
    for first in range(1, 3 * KEPT + PRUNE_EVERY_ROWS, KEPT):
        target.store.write([predicted(row(n), embedding=b"a") for n in range(first, first + KEPT)], [])
        assert len(embeddings(target)) <= KEPT + PRUNE_EVERY_ROWS
    kept = [number for number, _ in embeddings(target)]
    assert kept == list(range(kept[0], first + KEPT)), "the newest, without a gap"
    assert kept[0] > 1
    none = PredictionStore(target.database, 0)
    none.write([predicted(row(kept[-1] + 1))], [])
    assert embeddings(target) == []


def test_a_dead_letter_is_recorded_once(target: Target) -> None:
    assert target.record(dead(7, row(1))) == 1
    assert target.record(dead(7, row(1))) == 0
    assert target.letters() == [(7, 1, "reason 7")]


def test_the_same_row_twice_on_the_topic_is_one_dead_letter(target: Target) -> None:
    target.record(dead(7, row(1)))
    target.record(dead(8, row(1)))
    assert target.letters() == [(8, 1, "reason 8")]


@pytest.mark.parametrize(("row_id", "label"), [(-(2**63), -(2**31)), (2**63 - 1, 2**31 - 1)])
def test_the_most_extreme_row_is_recorded(target: Target, row_id: int, label: int) -> None:
    assert target.record(dead(7, row(row_id, target=label))) == 1
    assert target.letters() == [(7, row_id, "reason 7")]
    assert target.store.write([predicted(row(row_id, target=label))], []) == {row_id}
    assert target.letters() == []


def test_a_prediction_takes_the_place_of_a_dead_letter(target: Target) -> None:
    target.record(dead(7, row(1)))
    target.store.write([predicted(row(1))], [])
    assert (target.predictions(), target.letters()) == ([(1, "wood/a.jpg", "1")], [])


def test_a_failure_after_the_prediction_changes_nothing_unless_the_row_changed(target: Target) -> None:
    target.store.write([predicted(row(1))], [])
    assert target.record(dead(7, row(1))) == 0
    assert (target.predictions(), target.letters()) == ([(1, "wood/a.jpg", "1")], [])
    assert target.record(dead(8, row(1, "gone.jpg"))) == 1
    assert (target.predictions(), target.letters()) == ([], [(8, 1, "reason 8")])


def test_an_unreadable_message_never_speaks_for_a_row_with_an_outcome(target: Target) -> None:
    target.store.write([predicted(row(1))], [])
    target.record(dead(5, row(2)))
    target.record(dead(7, row_id=1), dead(8, row_id=2), dead(9, row_id=3), dead(10, row_id=3), dead(11))
    assert target.predictions() == [(1, "wood/a.jpg", "1")]
    assert [letter[:2] for letter in target.letters()] == [(5, 2), (7, None), (8, None), (9, 3), (10, None), (11, None)]


def test_refused_rows_are_named_and_nothing_is_written(target: Target) -> None:
    batch = [predicted(row(1)), predicted(row(2), target=2**31), predicted(row(3)), predicted(row(4), target=-(2**40))]
    with pytest.raises(RowsRefused) as refused:
        target.store.write(batch, [dead(9, row(5))])
    assert set(refused.value.reasons) == {2, 4}
    assert (target.predictions(), target.letters()) == ([], [])


def test_missing_tables_are_waited_for(stack: Stack) -> None:
    database = TargetDatabase(f"{stack.target_url}?options=-csearch_path%3Dnowhere")
    with pytest.raises(DatabaseUnavailable, match="connect_reconciler"):
        PredictionStore(database, KEPT).check()
    database.close()


def test_a_killed_database_is_away_and_then_back(stack: Stack, target: Target) -> None:
    target.store.write([predicted(row(1))], [])
    stack.kill("target-postgres")
    with pytest.raises(DatabaseUnavailable):
        target.store.write([predicted(row(2))], [])
    stack.wait_ready("target-postgres")
    assert target.store.write([predicted(row(2))], []) == {2}
    target.database.close()
    assert target.store.write([predicted(row(1))], []) == set()


@pytest.fixture
def dead_letters(stack: Stack) -> Iterator[DeadLetterTopic]:
    topic = DeadLetterTopic(stack.kafka)
    yield topic
    topic.close()


def test_dead_letters_carry_the_raw_message(stack: Stack, dead_letters: DeadLetterTopic) -> None:
    mark = uuid.uuid4().hex
    place = Partition(mark, 2)
    contents = [(b"key", b"\x00raw"), (None, b"x"), (b"key", None), (None, None), (b"big", b"z" * 1_048_500)]
    dead_letters.produce(
        [
            DeadLetter(Message(place, offset, key, value), None, None, "unreadable", "warum: ü")
            for offset, (key, value) in enumerate(contents)
        ]
    )
    consumer = KafkaConsumer(
        DEAD_LETTER_TOPIC, bootstrap_servers=stack.kafka, auto_offset_reset="earliest", consumer_timeout_ms=15_000
    )
    found = {}
    for record in consumer:
        headers = dict(record.headers)
        if headers.get("topic") == mark.encode():
            found[int(headers["offset"])] = (record.key, record.value, headers)
        if len(found) == len(contents):
            break
    consumer.close()
    assert [found[n][:2] for n in range(3)] == contents[:3]
    # The client refuses a message with neither key nor value, and the broker one that is too large with its headers.
    assert found[3][0] == b""
    assert found[4][0] == b"big"
    assert found[4][1] is None
    assert {name: found[0][2][name].decode() for name in ("reason", "topic", "partition", "offset")} == {
        "reason": "warum: ü",
        "topic": mark,
        "partition": "2",
        "offset": "0",
    }


class Second:
    """A second subscriber in the group of the stack's own."""

    def __init__(self, port: int, log: Path) -> None:
        self._port = port
        environment = {**os.environ, "DASHBOARD_STREAM_HEALTH_PORT": str(port)}
        command = [sys.executable, "-m", "dashboard_stream.data_subscriber"]
        with log.open("w") as file:
            self.process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=file)

    def get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:
            return ""


def insert_rows(stack: Stack, count: int) -> list[int]:
    items = read_manifest(stack.manifests, "monday").items
    values = [("monday", items[n % len(items)].image_path, items[n % len(items)].target) for n in range(count)]
    with stack.source() as source, source.cursor() as cursor:
        statement = "insert into cargo (dataset, image_path, target) values %s returning id"
        return [number for (number,) in execute_values(cursor, statement, values, fetch=True)]


def outcomes(stack: Stack, ids: list[int]) -> tuple[int, int]:
    with stack.target() as target, target.cursor() as cursor:
        cursor.execute(
            "select (select count(*) from cargo_prediction where id = any(%s)),"
            " (select count(*) from cargo_dead_letter where id = any(%s))",
            (ids, ids),
        )
        predictions, letters = cursor.fetchone() or (0, 0)
    return predictions, letters


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_members_come_and_go_while_the_api_is_away(stack: Stack, tmp_path: Path, end: signal.Signals) -> None:
    second = Second(port=29913, log=tmp_path / "second.log")
    try:
        wait_until(
            lambda: '"ok"' in second.get("/readyz"), "a second subscriber with partitions", timeout_s=WAIT_TIMEOUT_S
        )
        stack.stop("api")
        ids = insert_rows(stack, 300)
        wait_until(lambda: '"api"' in second.get("/readyz"), "it waits for the API", timeout_s=WAIT_TIMEOUT_S)
        began = time.monotonic()
        second.process.send_signal(end)
        code = second.process.wait(timeout=15)
        if end is signal.SIGTERM:
            assert code == 0, (tmp_path / "second.log").read_text()
            assert time.monotonic() - began < 5
        assert outcomes(stack, ids) == (0, 0)
    finally:
        if second.process.poll() is None:
            second.process.kill()
            second.process.wait()
        stack.start("api")
    wait_until(lambda: sum(outcomes(stack, ids)) == 300, "every row has its outcome", timeout_s=WAIT_TIMEOUT_S)
    assert outcomes(stack, ids) == (300, 0)


def test_lag_and_latency_are_measured(stack: Stack) -> None:
    ids = insert_rows(stack, 5)
    wait_until(lambda: outcomes(stack, ids) == (5, 0), "5 predictions", timeout_s=WAIT_TIMEOUT_S)
    with urllib.request.urlopen(f"http://127.0.0.1:{local_port(9103)}/metrics", timeout=5) as answer:
        metrics = answer.read().decode()
    for name in ("lag_messages", "batch_rows_count", "latency_seconds_bucket", "predictions_total"):
        assert f"data_subscriber_{name}" in metrics


def stream_position() -> dict[str, object]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{local_port(9103)}/stream", timeout=5) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))


def test_the_position_in_the_stream_is_told_for_the_whole_group(stack: Stack) -> None:
    before = int(str(stream_position()["settled"]))
    ids = insert_rows(stack, 40)
    wait_until(lambda: outcomes(stack, ids) == (40, 0), "40 predictions", timeout_s=WAIT_TIMEOUT_S)
    # Offsets are committed after the predictions.
    wait_until(lambda: int(str(stream_position()["settled"])) >= before + 40, "40 settled", timeout_s=WAIT_TIMEOUT_S)
    stack.stop("api")
    try:
        insert_rows(stack, 50)
        wait_until(lambda: int(str(stream_position()["open"])) >= 50, "50 open", timeout_s=WAIT_TIMEOUT_S)
        settled = int(str(stream_position()["settled"]))
        stack.kill("data-subscriber")
    finally:
        stack.start("api")
    stack.wait_ready("data-subscriber")
    wait_until(lambda: int(str(stream_position()["settled"])) >= settled + 50, "50 settled", timeout_s=WAIT_TIMEOUT_S)


def test_without_a_broker_the_position_is_unknown(stack: Stack) -> None:
    assert stream_position()["status"] == "ok"
    stack.stop("broker")
    try:
        wait_until(lambda: stream_position()["status"] == "unavailable", "no position", timeout_s=WAIT_TIMEOUT_S)
        assert stream_position()["reason"]
    finally:
        stack.start("broker")
    stack.wait_ready("broker")
    wait_until(lambda: stream_position()["status"] == "ok", "the position", timeout_s=WAIT_TIMEOUT_S)
