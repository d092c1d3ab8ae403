"""Connect with both connectors, and the reconciler that keeps them: everything real, looked at from outside."""

import json
from collections.abc import Iterator

import httpx
import pytest

from common.names import SINK_CONNECTOR, SOURCE_CONNECTOR
from common.paths import REPOSITORY
from common.waiting import wait_until
from connect_reconciler.connect_client import ConnectClient
from connect_reconciler.topic_ranges import offset_bounds, range_consumer
from connect_reconciler.topics import TOPICS
from tests.conftest import Stack
from tests.integration.connect_reconciler.rows_topic import arrives, insert, query
from tests.timeouts import WAIT_TIMEOUT_S

FILES = {
    SOURCE_CONNECTOR: REPOSITORY / "kafka" / "source_connector.json",
    SINK_CONNECTOR: REPOSITORY / "kafka" / "sink_connector.json",
}


@pytest.fixture
def no_reconciler(stack: Stack) -> Iterator[None]:
    stack.wait_ready("connect-reconciler")
    stack.stop("connect-reconciler")
    yield
    stack.start("connect-reconciler")
    stack.wait_ready("connect-reconciler")


def test_topics_have_their_partitions(stack: Stack) -> None:
    stack.wait_ready("connect-reconciler")
    with range_consumer(stack.kafka) as consumer:
        assert {name: len(offset_bounds(consumer, name)) for name in TOPICS} == TOPICS


@pytest.mark.usefixtures("no_reconciler")
@pytest.mark.parametrize("name", FILES)
def test_the_file_can_be_posted_as_it_is(stack: Stack, name: str) -> None:
    def post() -> int:
        headers = {"Content-Type": "application/json"}
        url = f"{stack.connect_url}/connectors"
        return httpx.post(url, content=FILES[name].read_bytes(), headers=headers, timeout=30).status_code

    assert post() == httpx.codes.CONFLICT
    assert httpx.delete(f"{stack.connect_url}/connectors/{name}", timeout=30).status_code == httpx.codes.NO_CONTENT
    # While Connect settles after the deletion it answers 409 as well.
    wait_until(lambda: post() == httpx.codes.CREATED, f"{name} posted", timeout_s=WAIT_TIMEOUT_S)
    arrives(stack, insert(stack))


def test_rest_shows_no_password(stack: Stack) -> None:
    stack.wait_ready("connect-reconciler")
    parts = [f"/{name}{part}" for name in FILES for part in ("", "/config", "/status", "/tasks", "/offsets")]
    for part in ("?expand=info&expand=status", *parts):
        answer = httpx.get(f"{stack.connect_url}/connectors{part}")
        assert answer.status_code == httpx.codes.OK
        assert "mypassword" not in answer.text
        assert "targetpassword" not in answer.text
    config = httpx.get(f"{stack.connect_url}/connectors/{SINK_CONNECTOR}/config").json()
    assert config["connection.password"] == "${env:CONNECT_TARGET_PASSWORD}"


def test_replica_is_equal_to_the_microsecond_and_follows_updates(stack: Stack) -> None:
    rows = query(
        stack,
        "source",
        """
        insert into cargo ("timestamp", dataset, image_path, target) values
            ('1999-12-31 23:59:59.999999+05:30', 'monday', 'wood/wood_1.jpg', 4),
            ('2026-11-21 04:35:23.000001Z', 'tuesday', 'grün/貨物 😀.jpg', null),
            ('0001-01-01 00:00:00Z', '', repeat('x', 255), -2147483648),
            (now(), 'monday', 'wood/wood_1.jpg', 0)
        returning id
        """,
    )
    ids = [row[0] for row in rows]
    query(stack, "source", "update cargo set target = 3, dataset = 'tuesday' where id = %s returning id", ids[-1])
    every = 'select id, "timestamp", dataset, image_path, target from cargo where id = any(%s) order by id'
    expected = query(stack, "source", every, ids)
    assert expected[-1][2:] == ("tuesday", "wood/wood_1.jpg", 3)
    wait_until(
        lambda: query(stack, "target", every, ids) == expected, "equal rows in the replica", timeout_s=WAIT_TIMEOUT_S
    )


# A sink whose subscription changes and changes back must get its partitions again.
EDITS = {SOURCE_CONNECTOR: {"poll.interval.ms": "500"}, SINK_CONNECTOR: {"topics": "postgres-source-elsewhere"}}


def _edited(stack: Stack, name: str) -> httpx.Response:
    config = httpx.get(f"{stack.connect_url}/connectors/{name}/config").json()
    return httpx.put(f"{stack.connect_url}/connectors/{name}/config", json={**config, **EDITS[name]}, timeout=30)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("hurt", ["delete", "pause", "stop", "edit"])
def test_connectors_are_kept_as_their_files_say(stack: Stack, name: str, hurt: str) -> None:
    stack.wait_ready("connect-reconciler")
    url = f"{stack.connect_url}/connectors/{name}"
    answer = {
        "delete": lambda: httpx.delete(url, timeout=30),
        "pause": lambda: httpx.put(f"{url}/pause", timeout=30),
        "stop": lambda: httpx.put(f"{url}/stop", timeout=30),
        "edit": lambda: _edited(stack, name),
    }[hurt]()
    assert answer.is_success
    wanted = json.loads(FILES[name].read_text())["config"]
    with_client = ConnectClient(stack.connect_url)

    def put_right() -> bool:
        status = with_client.connectors().get(name)
        return status is not None and status.running and status.config == wanted

    wait_until(put_right, f"{name} put right", timeout_s=WAIT_TIMEOUT_S)
    with_client.close()
    arrives(stack, insert(stack))
