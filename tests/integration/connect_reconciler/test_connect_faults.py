"""What is killed while rows flow to the replica, and offsets that must not move while the target is gone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import pytest

from common.names import SINK_CONNECTOR
from common.postgres import connect
from common.waiting import wait_until
from connect_reconciler.connect_client import ConnectClient
from connect_reconciler.recovery.refused_messages import skip_refused_messages
from tests.conftest import Stack
from tests.integration.connect_reconciler.rows_topic import IDS, Topic, arrives, insert, message, query
from tests.timeouts import WAIT_TIMEOUT_S

EVERY = 'select id, "timestamp", dataset, image_path, target from cargo where id = any(%s) order by id'


class Flow(threading.Thread):
    """Commits about 30 rows a second until it is told to stop."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self._stack = stack
        self._stop_now = threading.Event()
        self.ids: list[int] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._stop_now.wait(0.03):
                self.ids.append(insert(self._stack))
        except Exception as error:
            self.error = error

    def wait_for_more(self, rows: int) -> None:
        goal = len(self.ids) + rows
        wait_until(lambda: len(self.ids) >= goal or not self.is_alive(), f"{rows} more rows", timeout_s=WAIT_TIMEOUT_S)

    def end(self) -> list[int]:
        self._stop_now.set()
        self.join()
        assert self.error is None
        return self.ids


@contextmanager
def _flowing(stack: Stack) -> Iterator[Flow]:
    flow = Flow(stack)
    flow.start()
    try:
        yield flow
    finally:
        flow.end()


@pytest.fixture
def client(stack: Stack) -> Iterator[ConnectClient]:
    client = ConnectClient(stack.connect_url)
    yield client
    client.close()


@pytest.fixture
def topic(stack: Stack) -> Iterator[Topic]:
    topic = Topic(stack.kafka)
    yield topic
    topic.close()


def _refused() -> bytes:
    return message({"id": next(IDS), "timestamp": "2026-11-21T04:35:23Z", "dataset": "monday", "image_path": "x" * 300})


def test_target_killed_again_and_again_while_rows_flow(stack: Stack) -> None:
    stack.wait_ready("connect-reconciler")
    with _flowing(stack) as flow:
        for _ in range(3):
            flow.wait_for_more(40)
            arrives(stack, flow.ids[-1])
            stack.kill("target-postgres")
            stack.wait_ready("target-postgres")
        ids = flow.end()
    expected = query(stack, "source", EVERY, ids)
    assert len(expected) == len(ids)
    wait_until(
        lambda: query(stack, "target", EVERY, ids) == expected, "every row in the replica", timeout_s=WAIT_TIMEOUT_S
    )


def test_reconciler_killed_while_it_takes_over(stack: Stack, client: ConnectClient, topic: Topic) -> None:
    stack.wait_ready("connect-reconciler")

    def stopped() -> bool:
        status = client.connectors().get(SINK_CONNECTOR)
        return status is not None and status.state == "STOPPED"

    with _flowing(stack) as flow:
        first = topic.write_row()
        refused = topic.write(_refused())
        last = topic.write_row()
        # Nobody but the reconciler stops the sink: it is in the middle of stepping over.
        wait_until(stopped, "the sink stopped by the reconciler", timeout_s=WAIT_TIMEOUT_S, interval_s=0.02)
        stack.kill("connect-reconciler")
        for row in (first, last):
            arrives(stack, row, timeout_s=WAIT_TIMEOUT_S)
        ids = flow.end()
    expected = query(stack, "source", EVERY, ids)
    wait_until(
        lambda: query(stack, "target", EVERY, ids) == expected, "every row in the replica", timeout_s=WAIT_TIMEOUT_S
    )
    stack.wait_ready("connect-reconciler")
    assert client.connectors()[SINK_CONNECTOR].running
    assert len(topic.letters_from(refused)) == 1


def test_no_offset_moves_when_the_target_is_lost_on_the_way(stack: Stack, client: ConnectClient, topic: Topic) -> None:
    stack.wait_ready("connect-reconciler")
    stack.stop("connect-reconciler")
    try:
        refused = topic.write(_refused())
        last = topic.write_row()
        wait_until(lambda: client.connectors()[SINK_CONNECTOR].failed, "the sink failed", timeout_s=WAIT_TIMEOUT_S)
        before = client.sink_offsets(SINK_CONNECTOR)
        assert before[refused[:2]] <= refused[2]
        target = connect(stack.target_url, "test")
        try:
            query(stack, "target", "select pg_terminate_backend(%s)", target.get_backend_pid())
            with pytest.raises(psycopg2.Error):
                skip_refused_messages(client, stack.kafka, target)
        finally:
            target.close()
        assert client.sink_offsets(SINK_CONNECTOR) == before
        assert topic.letters_from(refused) == []
        wait_until(
            lambda: client.connectors()[SINK_CONNECTOR].state == "RUNNING", "the sink resumed", timeout_s=WAIT_TIMEOUT_S
        )
    finally:
        stack.start("connect-reconciler")
    arrives(stack, last, timeout_s=WAIT_TIMEOUT_S)
    assert len(topic.letters_from(refused)) == 1
    stack.wait_ready("connect-reconciler")
