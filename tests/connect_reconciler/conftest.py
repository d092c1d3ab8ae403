"""Connect's REST interface, played by a table of connectors; everything above HTTP is the real thing."""

import json
from typing import Any

import httpx
import pytest

from common.health.state import Health
from common.names import SINK_CONNECTOR, SOURCE_CONNECTOR
from connect_reconciler.connect_client import ConnectClient
from connect_reconciler.reconciler import Reconciler
from connect_reconciler.recovery.sink_recovery import SinkRecovery, TargetUnavailable
from connect_reconciler.recovery.source_recovery import SourceRecovery
from connect_reconciler.settings import Settings


class PlayedConnect:
    """Answers as Connect 4.3 does (status codes and shapes noted from a real worker) and writes down what is asked."""

    def __init__(self) -> None:
        self.connectors: dict[str, dict[str, Any]] = {}
        self.offsets: dict[int, int] = {0: 0}
        self.asked: list[str] = []
        self.answer_all: httpx.Response | None = None
        self.away = False

    def add(self, name: str, config: dict[str, str], state: str = "RUNNING", *tasks: str, trace: str = "") -> None:
        self.connectors[name] = {
            "info": {"name": name, "config": {**config, "name": name}},
            "status": {
                "connector": {"state": state},
                "tasks": [{"id": number, "state": task, "trace": trace} for number, task in enumerate(tasks)],
            },
        }

    def handle(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("refused", request=request)
        if self.answer_all is not None:
            return self.answer_all
        path = request.url.path
        if request.method == "GET" and path == "/connectors":
            return httpx.Response(200, json=self.connectors)
        if request.method == "GET" and path.endswith("/offsets"):
            entries = [
                {"partition": {"kafka_topic": "t", "kafka_partition": number}, "offset": {"kafka_offset": offset}}
                for number, offset in self.offsets.items()
            ]
            return httpx.Response(200, json={"offsets": entries})
        query = f"?{request.url.query.decode()}" if request.url.query else ""
        self.asked.append(f"{request.method} {path}{query}")
        if request.method == "PUT" and path.endswith("/config"):
            self.add(path.split("/")[2], json.loads(request.content), "RUNNING")
        return httpx.Response(202)


class FakeSinkRecovery(SinkRecovery):
    """Without a database: `target_away` is the reason that it gives, `steps` what stepping over does."""

    target_away: str | None = None
    mended = 0
    refuses = False

    def check_target(self) -> None:
        if self.target_away:
            raise TargetUnavailable(self.target_away)

    def recover(self, cause: str) -> bool:
        self.mended += 1
        return self.refuses


class FakeSourceRecovery(SourceRecovery):
    """Of a source that is always where it should be."""

    def check(self, now: float) -> None:
        pass


WANTED = {SINK_CONNECTOR: {"topics": "t"}, SOURCE_CONNECTOR: {"slot.name": "s"}}


@pytest.fixture
def connect() -> PlayedConnect:
    return PlayedConnect()


@pytest.fixture
def client(connect: PlayedConnect) -> ConnectClient:
    return ConnectClient("http://connect", httpx.MockTransport(connect.handle))


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def sink_recovery(client: ConnectClient) -> FakeSinkRecovery:
    return FakeSinkRecovery(client, "unused", "unused")


@pytest.fixture
def reconciler(client: ConnectClient, health: Health, sink_recovery: FakeSinkRecovery) -> Reconciler:
    settings = Settings(restarts=3, restart_window_s=100)
    return Reconciler(settings, client, WANTED, health, sink_recovery, FakeSourceRecovery(client, "unused", None))
