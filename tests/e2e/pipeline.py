"""What flows through the platform in containers, asked from outside."""

import os
import signal
from collections.abc import Iterable
from datetime import datetime

import httpx
import pytest

from common.cli import UserError
from common.names import SINK_CONNECTOR, SOURCE_CONNECTOR
from common.waiting import wait_until
from local_stack.inspection.account import source_end, take_account
from tests.e2e.containers import (
    Containers,
    ask,
    database_url,
    image,
    is_available,
    port,
    readiness,
)
from tests.timeouts import WAIT_TIMEOUT_S

# Building the images for the first time takes minutes.

STAGES = (
    "data_generate/docker-compose.yaml",
    "model_registry/docker-compose.yaml",
    "api_serving/docker-compose.yaml",
    "kafka/kafka-docker-compose.yaml",
    "kafka/target-docker-compose.yaml",
    "dashboard_stream/stream-docker-compose.yaml",
)
"""In the order of the README. Grafana's file needs an image that not every machine can have."""


RATE = "10"
"""Rows a second: enough that some are always on their way."""


PREDICTIONS = "select count(*) from cargo_prediction"


def store() -> str:
    """The default one where its image can be had."""
    return "minio" if is_available(image("object-store-minio")) else "seaweedfs"


def flowing() -> None:
    """Return once rows that were committed after now have been predicted; after two minutes, say who lacks what."""
    before = source_end(database_url("source")).last_id
    query = f"select count(*) from cargo_prediction where id > {before}"
    try:
        wait_until(lambda: ask(database_url("target"), query), "new rows are predicted", timeout_s=WAIT_TIMEOUT_S)
    except UserError as error:
        pytest.fail(f"{error}\n{readiness()}")


def connectors_running() -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port(8083)}/connectors?expand=status", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return False
    states = {
        name: {content["status"]["connector"]["state"], *(task["state"] for task in content["status"]["tasks"])}
        for name, content in answer.items()
    }
    return states == {SOURCE_CONNECTOR: {"RUNNING"}, SINK_CONNECTOR: {"RUNNING"}}


def kill(platform: Containers, services: Iterable[str]) -> None:
    """SIGKILL all; returns when the restart policy has brought them back and they are healthy."""
    before = {service: platform.inspect(service) for service in services}
    for state in before.values():
        os.kill(state["State"]["Pid"], signal.SIGKILL)
    for service, state in before.items():
        wait_until(
            lambda service=service, restarts=state["RestartCount"]: back(platform, service, restarts),  # type: ignore[misc]
            f"{service} healthy again",
            timeout_s=WAIT_TIMEOUT_S,
        )


def back(platform: Containers, service: str, restarts: int) -> bool:
    """Whether it was restarted, and its new process was found well: the former result stands until then."""
    now = platform.inspect(service)
    checks = now["State"]["Health"]["Log"]
    return bool(
        now["RestartCount"] > restarts
        and now["State"]["Health"]["Status"] == "healthy"
        and checks
        and datetime.fromisoformat(checks[-1]["Start"]) > datetime.fromisoformat(now["State"]["StartedAt"])
    )


def balanced() -> None:
    """Every row committed so far has one outcome and is in the replica."""
    source, target = database_url("source"), database_url("target")
    until = source_end(source).last_id
    wait_until(
        lambda: take_account(source, target, until).complete, "an outcome for every row", timeout_s=WAIT_TIMEOUT_S
    )
    rows = f"select md5(string_agg(cargo::text, ',' order by id)) from cargo where id <= {until}"
    wait_until(
        lambda: ask(source, rows) == ask(target, rows), "the replica equals the source", timeout_s=WAIT_TIMEOUT_S
    )
