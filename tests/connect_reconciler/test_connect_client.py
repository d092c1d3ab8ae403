"""What the client makes of Connect's answers, and what it asks."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from common.names import SINK_CONNECTOR
from connect_reconciler.connect_client import ConnectClient, ConnectorStatus, ConnectUnavailable
from tests.connect_reconciler.conftest import PlayedConnect

TRACE = (
    "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.\n"
    "\tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:658)\n"
    "Caused by: org.apache.kafka.connect.errors.ConnectException: Failed to process a sink record\n"
    "\t... 12 more\n"
    "Caused by: org.postgresql.util.PSQLException: ERROR: value too long for type character varying(255)\n"
    "\t... 30 more\n"
)


def _status(state: str, *tasks: str, trace: str = "") -> ConnectorStatus:
    return ConnectorStatus(config={}, state=state, task_states=tasks, trace=trace)


def test_status_holds_what_was_put_and_every_state(connect: PlayedConnect, client: ConnectClient) -> None:
    connect.add("c", {"topics": "t"}, "RUNNING", "RUNNING", "FAILED", trace=TRACE)
    assert client.connectors() == {
        "c": ConnectorStatus(config={"topics": "t"}, state="RUNNING", task_states=("RUNNING", "FAILED"), trace=TRACE)
    }


@pytest.mark.parametrize("half", [{"info": None}, {"status": None}, {}])
def test_half_created_connectors_are_no_connectors_yet(
    connect: PlayedConnect, client: ConnectClient, half: dict[str, Any]
) -> None:
    connect.add("whole", {}, "RUNNING", "RUNNING")
    connect.connectors["half"] = half
    assert set(client.connectors()) == {"whole"}


@pytest.mark.parametrize(
    ("status", "running", "failed"),
    [
        (_status("RUNNING", "RUNNING"), True, False),
        (_status("RUNNING", "RUNNING", "RUNNING"), True, False),
        (_status("RUNNING"), False, False),
        (_status("RUNNING", "UNASSIGNED"), False, False),
        (_status("RUNNING", "RUNNING", "FAILED"), False, True),
        (_status("FAILED"), False, True),
        (_status("PAUSED", "PAUSED"), False, False),
        (_status("STOPPED"), False, False),
    ],
)
def test_running_and_failed(status: ConnectorStatus, running: bool, failed: bool) -> None:
    assert (status.running, status.failed) == (running, failed)


@pytest.mark.parametrize(
    ("trace", "cause"),
    [
        (TRACE, "org.postgresql.util.PSQLException: ERROR: value too long for type character varying(255)"),
        ("java.lang.OutOfMemoryError: Java heap space\n\tat somewhere", "java.lang.OutOfMemoryError: Java heap space"),
        ("", "failed without a trace"),
    ],
)
def test_the_innermost_exception_is_the_cause(trace: str, cause: str) -> None:
    assert _status("FAILED", trace=trace).cause == cause


CALLS: dict[str, Callable[[ConnectClient], object]] = {
    "GET /connectors?expand=status&expand=info": lambda client: client.connectors(),
    "PUT /connectors/c/config": lambda client: client.put_config("c", {"topics": "t"}),
    "POST /connectors/c/restart?includeTasks=true&onlyFailed=true": lambda client: client.restart_failed("c"),
    "PUT /connectors/c/stop": lambda client: client.stop("c"),
    "PUT /connectors/c/resume": lambda client: client.resume("c"),
    "GET /connectors/c/offsets": lambda client: client.sink_offsets("c"),
    "PATCH /connectors/c/offsets": lambda client: client.put_sink_offsets("c", {("t", 0): 1}),
}


@pytest.mark.parametrize("request_", CALLS)
@pytest.mark.parametrize("status", [404, 409, 500, 503])
def test_every_call_can_be_told_to_come_again(request_: str, status: int) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx.Response(status, text="Cannot complete request momentarily")

    with pytest.raises(ConnectUnavailable, match=f"{status} Cannot complete"):
        CALLS[request_](ConnectClient("http://connect", httpx.MockTransport(answer)))
    assert asked == [request_], "asked once; the next turn is the retry"


@pytest.mark.parametrize("request_", CALLS)
def test_no_connection_is_away_too(connect: PlayedConnect, client: ConnectClient, request_: str) -> None:
    connect.away = True
    with pytest.raises(ConnectUnavailable, match="refused"):
        CALLS[request_](client)


@pytest.mark.parametrize("request_", CALLS)
def test_a_refusal_is_no_outage(connect: PlayedConnect, client: ConnectClient, request_: str) -> None:
    connect.answer_all = httpx.Response(400, json={"error_code": 400, "message": "invalid"})
    with pytest.raises(httpx.HTTPStatusError):
        CALLS[request_](client)


def test_offsets_go_out_as_they_come_in() -> None:
    """The shape that Connect gives is the shape that it takes."""
    entries = [
        {"partition": {"kafka_topic": "t", "kafka_partition": number}, "offset": {"kafka_offset": 10 * number}}
        for number in range(3)
    ]
    bodies = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            bodies.append(json.loads(request.content))
        return httpx.Response(200, json={"offsets": entries})

    client = ConnectClient("http://connect", httpx.MockTransport(answer))
    offsets = client.sink_offsets(SINK_CONNECTOR)
    assert offsets == {("t", 0): 0, ("t", 1): 10, ("t", 2): 20}
    client.put_sink_offsets(SINK_CONNECTOR, offsets)
    assert bodies == [{"offsets": entries}]
