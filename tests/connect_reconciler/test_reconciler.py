"""Which state of a connector leads to which request."""

import socket
import threading
from collections.abc import Callable

import httpx
import pytest
from prometheus_client import REGISTRY

from common.health.state import Health
from common.names import SINK_CONNECTOR, SOURCE_CONNECTOR
from connect_reconciler.connect_client import ConnectClient, ConnectUnavailable
from connect_reconciler.reconciler import Reconciler
from connect_reconciler.settings import Settings
from tests.connect_reconciler.conftest import WANTED, FakeSinkRecovery, FakeSourceRecovery, PlayedConnect

RESTART = f"POST /connectors/{SOURCE_CONNECTOR}/restart?includeTasks=true&onlyFailed=true"

Look = Callable[[float], None]


@pytest.fixture
def look(reconciler: Reconciler, client: ConnectClient) -> Look:
    return lambda now: reconciler.check_connectors(client.connectors(), now)


def _all_running(connect: PlayedConnect) -> None:
    for name, config in WANTED.items():
        connect.add(name, config, "RUNNING", "RUNNING")


def test_missing_connectors_are_created_once(connect: PlayedConnect, look: Look, health: Health) -> None:
    look(0)
    assert connect.asked == [f"PUT /connectors/{name}/config" for name in WANTED]
    assert not health.ready()[0]
    _all_running(connect)
    look(1)
    assert len(connect.asked) == 2
    assert health.ready()[0]


@pytest.mark.parametrize(
    ("config", "state", "tasks", "request_"),
    [
        ({"slot.name": "s"}, "RUNNING", ("RUNNING",), None),
        ({"slot.name": "other"}, "RUNNING", ("RUNNING",), "PUT /connectors/{}/config"),
        ({"slot.name": "s", "more": "x"}, "RUNNING", ("RUNNING",), "PUT /connectors/{}/config"),
        # Setting the file back comes first: the restart of a misconfigured connector would help nobody.
        ({"slot.name": "other"}, "RUNNING", ("FAILED",), "PUT /connectors/{}/config"),
        ({"slot.name": "s"}, "PAUSED", ("PAUSED",), "PUT /connectors/{}/resume"),
        ({"slot.name": "s"}, "STOPPED", (), "PUT /connectors/{}/resume"),
        ({"slot.name": "s"}, "RUNNING", (), None),
        ({"slot.name": "s"}, "UNASSIGNED", ("UNASSIGNED",), None),
        ({"slot.name": "s"}, "RUNNING", ("FAILED",), "POST /connectors/{}/restart?includeTasks=true&onlyFailed=true"),
        ({"slot.name": "s"}, "FAILED", (), "POST /connectors/{}/restart?includeTasks=true&onlyFailed=true"),
    ],
)
def test_each_state_has_its_answer(
    connect: PlayedConnect,
    look: Look,
    config: dict[str, str],
    state: str,
    tasks: tuple[str, ...],
    request_: str | None,
) -> None:
    _all_running(connect)
    connect.add(SOURCE_CONNECTOR, config, state, *tasks)
    look(0)
    assert connect.asked == ([request_.format(SOURCE_CONNECTOR)] if request_ else [])


def test_restarts_pause_longer_each_time_and_end_at_the_cap(connect: PlayedConnect, look: Look, health: Health) -> None:
    _all_running(connect)
    connect.add(
        SOURCE_CONNECTOR, WANTED[SOURCE_CONNECTOR], "RUNNING", "FAILED", trace="X: no\n\tat y\nCaused by: Z: why"
    )
    restarted_at = []
    for tenth in range(990):
        before = len(connect.asked)
        look(tenth / 10)
        if len(connect.asked) > before:
            restarted_at.append(tenth / 10)
    assert restarted_at == [0.0, 1.0, 3.0]
    assert connect.asked == [RESTART] * 3
    assert "restarted 3 times without success" in health.ready()[1]["missing"][SOURCE_CONNECTOR]
    assert "Z: why" in health.ready()[1]["missing"][SOURCE_CONNECTOR]
    assert REGISTRY.get_sample_value("connector_given_up", {"connector": SOURCE_CONNECTOR}) == 1
    look(100.5)
    assert len(connect.asked) == 4, "the first restart has left the window of 100 s"
    _all_running(connect)
    look(101)
    assert REGISTRY.get_sample_value("connector_given_up", {"connector": SOURCE_CONNECTOR}) == 0
    assert health.ready()[0]


def test_one_broken_connector_does_not_keep_the_other_waiting(connect: PlayedConnect, look: Look) -> None:
    connect.add(SINK_CONNECTOR, WANTED[SINK_CONNECTOR], "RUNNING", "FAILED")
    look(0)
    assert connect.asked == [f"PUT /connectors/{SOURCE_CONNECTOR}/config"]


def test_no_restart_is_spent_while_the_target_is_away(
    connect: PlayedConnect, look: Look, health: Health, sink_recovery: FakeSinkRecovery
) -> None:
    _all_running(connect)
    connect.add(SINK_CONNECTOR, WANTED[SINK_CONNECTOR], "RUNNING", "FAILED")
    sink_recovery.target_away = "database is away"
    for second in range(90):
        look(second)
    assert sink_recovery.mended == 0
    assert health.ready()[1]["missing"] == {SINK_CONNECTOR: "database is away"}
    sink_recovery.target_away = None
    look(90)
    assert sink_recovery.mended == 1, "at once when it is back"


@pytest.mark.parametrize(("refuses", "mended"), [(True, 99), (False, 3)])
def test_refused_messages_do_not_use_up_the_restarts(
    connect: PlayedConnect, look: Look, sink_recovery: FakeSinkRecovery, refuses: bool, mended: int
) -> None:
    _all_running(connect)
    connect.add(SINK_CONNECTOR, WANTED[SINK_CONNECTOR], "RUNNING", "FAILED")
    sink_recovery.refuses = refuses
    for second in range(99):
        look(second)
    assert sink_recovery.mended == mended


def test_a_file_that_connect_refuses_is_named(connect: PlayedConnect, reconciler: Reconciler, health: Health) -> None:
    connect.answer_all = httpx.Response(400, json={"message": "Value must be one of upsert"})
    reconciler.check_connectors({}, 0)
    assert "Value must be one of upsert" in health.ready()[1]["missing"][SINK_CONNECTOR]


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(409, text="rebalance"), httpx.Response(500, text="later"), httpx.Response(200, text="<html>")],
)
def test_connect_that_cannot_answer_now_is_waited_for(
    connect: PlayedConnect, client: ConnectClient, answer: httpx.Response
) -> None:
    connect.answer_all = answer
    with pytest.raises(ConnectUnavailable):
        client.connectors()


def test_connect_away_is_said_and_nothing_is_raised(
    connect: PlayedConnect, reconciler: Reconciler, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "check_topics", lambda now: None)
    connect.away = True
    assert reconciler.run_once(0) is False
    assert "connect" in health.ready()[1]["missing"]
    connect.away = False
    connect.answer_all = httpx.Response(403, text="another server on that port")
    assert reconciler.run_once(1) is False
    connect.answer_all = None
    assert reconciler.run_once(2) is True
    assert "connect" not in health.ready()[1]["missing"]


def test_a_broker_away_is_said_and_leaves_no_thread_behind(
    client: ConnectClient, health: Health, sink_recovery: FakeSinkRecovery, connect: PlayedConnect
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed_in_a_moment:
        port = closed_in_a_moment.getsockname()[1]
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{port}")
    source = FakeSourceRecovery(client, "unused", None)
    reconciler = Reconciler(settings, client, WANTED, health, sink_recovery, source)
    threads = threading.active_count()
    for now in range(3):
        assert reconciler.run_once(now) is False
    assert f"no broker listens at 127.0.0.1:{port}" in health.ready()[1]["missing"]["broker"]
    assert threading.active_count() == threads
    assert connect.asked == []
