"""The health port, whoever else is connected to it."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from common.health.server import MOST_CONNECTIONS, HealthServer, _Handler, serve_health
from common.health.state import Health
from common.waiting import wait_until

PATHS = ("/livez", "/readyz", "/metrics")
PATIENCE_S = 60.0


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    with serve_health(health, "127.0.0.1", 0) as server:
        yield server
        server.shutdown()


@pytest.fixture
def connections(server: HealthServer) -> Iterator["Connections"]:
    with ExitStack() as stack:
        yield Connections(server, stack)


class Connections:
    """Connections that send at most a part of a request."""

    def __init__(self, server: HealthServer, stack: ExitStack) -> None:
        self._address, self._stack = ("127.0.0.1", server.server_port), stack
        self._open: list[socket.socket] = []

    def open(self, count: int, sent: bytes = b"") -> None:
        for _ in range(count):
            connection = self._stack.enter_context(socket.create_connection(self._address, timeout=PATIENCE_S))
            connection.sendall(sent)
            self._open.append(connection)

    def hung_up_on(self) -> int:
        poll = select.poll()
        for connection in self._open:
            poll.register(connection, select.POLLIN)
        return len(poll.poll(0))


def get(server: HealthServer, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{server.server_port}{path}", timeout=PATIENCE_S)


def test_ready_says_what_is_missing(health: Health, server: HealthServer) -> None:
    health.mark_missing("broker", "refused")
    answer = get(server, "/readyz")
    assert (answer.status_code, answer.json()["missing"]) == (503, {"broker": "refused"})
    health.mark_available("broker")
    assert get(server, "/readyz").status_code == 200


def test_a_load_balancer_asks_for_the_head_only(health: Health, server: HealthServer) -> None:
    health.mark_missing("broker", "refused")
    for path, status in (("/livez", 200), ("/readyz", 503)):
        answer = httpx.head(f"http://127.0.0.1:{server.server_port}{path}", timeout=PATIENCE_S)
        assert (answer.status_code, answer.content) == (status, b"")


def test_metrics_and_unknown_paths(server: HealthServer) -> None:
    assert "python_info" in get(server, "/metrics").text
    assert get(server, "/").status_code == 404


def test_a_service_serves_more_of_its_own(health: Health) -> None:
    told: list[tuple[bool, dict[str, Any]]] = [(True, {"open": 3}), (False, {"reason": "no broker"})]
    answers = iter(told)
    with serve_health(health, "127.0.0.1", 0, {"/stream": lambda: next(answers)}) as server:
        good, bad = (get(server, "/stream") for _ in range(2))
        assert (good.status_code, good.json()["open"]) == (200, 3)
        assert (bad.status_code, bad.json()["reason"]) == (503, "no broker")
        assert "/stream" in get(server, "/").text
        assert get(server, "/livez").status_code == 200
        server.shutdown()


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n"])
@pytest.mark.parametrize("count", [1, 3 * MOST_CONNECTIONS])
def test_idle_connections_keep_nobody_from_an_answer(
    server: HealthServer, connections: Connections, monkeypatch: pytest.MonkeyPatch, count: int, sent: bytes
) -> None:
    monkeypatch.setattr(_Handler, "timeout", 100 * PATIENCE_S)
    connections.open(count, sent)
    assert [get(server, path).status_code for path in PATHS] == [200] * 3
    connections.open(count, sent)
    assert [get(server, path).status_code for path in PATHS] == [200] * 3
    most = MOST_CONNECTIONS
    wait_until(lambda: 2 * count - connections.hung_up_on() <= most, "most are hung up on", PATIENCE_S)


def test_an_idle_connection_is_hung_up_on_after_a_while(
    server: HealthServer, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Handler, "timeout", 0.1)
    connections.open(3)
    connections.open(3, b"GET /livez HTTP/1.1\r\n")
    wait_until(lambda: connections.hung_up_on() == 6, "all are hung up on", PATIENCE_S)


def test_a_slow_route_keeps_nobody_from_an_answer(health: Health) -> None:
    asked, release = threading.Event(), threading.Event()

    def slow() -> tuple[bool, dict[str, Any]]:
        asked.set()
        return release.wait(PATIENCE_S), {}

    with serve_health(health, "127.0.0.1", 0, {"/slow": slow}) as server, ExitStack() as stack:
        client = threading.Thread(target=get, args=(server, "/slow"))
        client.start()
        assert asked.wait(PATIENCE_S)
        Connections(server, stack).open(2 * MOST_CONNECTIONS)
        assert [get(server, path).status_code for path in PATHS] == [200] * 3
        release.set()
        client.join()
        server.shutdown()


def test_beyond_the_most_that_are_being_answered_one_is_refused_and_served_later(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.health.server.ROOM_WITHIN_S", 0.01)
    asked, release = threading.Semaphore(0), threading.Event()

    def slow() -> tuple[bool, dict[str, Any]]:
        asked.release()
        return release.wait(PATIENCE_S), {}

    with serve_health(health, "127.0.0.1", 0, {"/slow": slow}) as server:
        clients = [threading.Thread(target=get, args=(server, "/slow")) for _ in range(MOST_CONNECTIONS)]
        for client in clients:
            client.start()
        for _ in clients:
            assert asked.acquire(timeout=PATIENCE_S)
        with pytest.raises(httpx.TransportError):
            get(server, "/livez")
        release.set()
        for client in clients:
            client.join()
        wait_until(lambda: answers(server), "an answer again", PATIENCE_S)
        server.shutdown()


def answers(server: HealthServer) -> bool:
    try:
        return get(server, "/livez").is_success
    except httpx.TransportError:
        return False
