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
from pathlib import Path

import httpx
import pytest
from kafka import KafkaConsumer
from psycopg2.extras import execute_values

from common.names import DEAD_LETTER_TOPIC
from common.paths import REPOSITORY
from common.settings import local_port
from common.waiting import wait_until
from dashboard_stream.subscriber.dead_letter_topic import DeadLetterTopic
from dashboard_stream.subscriber.messages import Message, Partition
from dashboard_stream.subscriber.outcomes import DeadLetter
from data_generate.rows.manifests import read_manifest
from tests.conftest import Stack
from tests.timeouts import WAIT_TIMEOUT_S


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


def test_a_subscriber_for_whom_no_partition_is_left_stands_by(stack: Stack, tmp_path: Path) -> None:
    """Four of them for three partitions: all are ready, and every row has its outcome."""
    more = [Second(port=29916 + number, log=tmp_path / f"{number}.log") for number in range(3)]
    try:
        wait_until(
            lambda: all('"ok"' in each.get("/readyz") for each in more), "all are ready", timeout_s=WAIT_TIMEOUT_S
        )
        own = f"http://127.0.0.1:{local_port(9103)}/readyz"

        def one_stands_by() -> bool:
            answers = [*(each.get("/readyz") for each in more), httpx.get(own).text]
            return sum("standing by" in answer for answer in answers) == 1

        wait_until(one_stands_by, "one has nothing to do", timeout_s=WAIT_TIMEOUT_S)
        ids = insert_rows(stack, 300)
        wait_until(lambda: sum(outcomes(stack, ids)) == 300, "every row has its outcome", timeout_s=WAIT_TIMEOUT_S)
        assert outcomes(stack, ids) == (300, 0)
    finally:
        for each in more:
            each.process.terminate()
        assert [each.process.wait(WAIT_TIMEOUT_S) for each in more] == [0, 0, 0]


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


def lag_is_told() -> bool:
    metrics = httpx.get(f"http://127.0.0.1:{local_port(9103)}/metrics", timeout=10).text
    return "data_subscriber_lag_messages{" in metrics


def test_without_a_broker_the_position_is_unknown(stack: Stack) -> None:
    assert stream_position()["status"] == "ok"
    stack.stop("broker")
    try:
        wait_until(lambda: stream_position()["status"] == "unavailable", "no position", timeout_s=WAIT_TIMEOUT_S)
        assert stream_position()["reason"]
        wait_until(lambda: not lag_is_told(), "no lag in the metrics", timeout_s=WAIT_TIMEOUT_S)
    finally:
        stack.start("broker")
    stack.wait_ready("broker")
    wait_until(lambda: stream_position()["status"] == "ok", "the position", timeout_s=WAIT_TIMEOUT_S)
    assert lag_is_told()
