"""The stack that a worker's integration and end-to-end tests share: every service for real, on ports of its own."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from common.paths import IMAGE_ROOT, MANIFESTS
from common.settings import (
    api_url,
    kafka_bootstrap_servers,
    local_port,
    mlflow_tracking_uri,
    source_database_url,
    target_database_url,
)
from common.waiting import wait_until
from local_stack.processes.services import SERVICES
from local_stack.processes.supervision import Supervisor
from tests import workers
from tests.timeouts import WAIT_TIMEOUT_S

# How long an example takes says something of the machine, not of the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: workers.rank(item.nodeid))


class Stack:
    """Addresses of the running stack, and the means to hurt it."""

    def __init__(self, state_dir: Path, image_root: Path) -> None:
        self.state_dir = state_dir
        self.image_root = image_root
        self.manifests = MANIFESTS
        self.source_url = source_database_url()
        self.target_url = target_database_url()
        self.kafka = kafka_bootstrap_servers()
        self.api_url = api_url()
        self.mlflow_uri = mlflow_tracking_uri()
        self.connect_url = f"http://127.0.0.1:{local_port(8083)}"
        self.s3_endpoint = f"http://127.0.0.1:{local_port(9000)}"
        self._supervisor = Supervisor(state_dir)

    def pid(self, service: str) -> int:
        return int(self._supervisor.processes()[service]["pid"])

    def kill(self, service: str) -> None:
        """SIGKILL; returns when the supervisor has put a new process in its place."""
        before = self.pid(service)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: self.pid(service) not in {0, before}, f"{service} restarted", timeout_s=WAIT_TIMEOUT_S)

    def stop(self, service: str) -> None:
        self._supervisor.stop_service(service)

    def start(self, service: str) -> None:
        self._supervisor.start_service(service)

    def wait_ready(self, service: str, timeout_s: float = WAIT_TIMEOUT_S) -> None:
        probe = next(each.ready for each in SERVICES if each.name == service)
        assert probe is not None
        wait_until(probe, f"{service} ready", timeout_s)

    @contextmanager
    def source(self) -> Iterator[Connection]:
        yield from _session(self.source_url)

    @contextmanager
    def target(self) -> Iterator[Connection]:
        yield from _session(self.target_url)


def _session(url: str) -> Iterator[Connection]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="cargo-") as folder:
        # Root's databases run as another user, who must reach their folder.
        Path(folder).chmod(0o755)
        patch.setenv("CARGO_PORT_OFFSET", str(workers.stack_offset()))
        patch.setenv("LOCAL_STACK_STATE_DIR", folder)
        # What tests insert may look like a drift; the model that all of them see shall stay.
        patch.setenv("MODEL_REGISTRY_ADAPT_CONFIRM_S", "86400")
        for variable in ("MONDAY_DIR", "TUESDAY_DIR"):
            patch.delenv(variable, raising=False)
        command = [sys.executable, "-m", "local_stack"]
        try:
            subprocess.run([*command, "up"], check=True)
            yield Stack(Path(folder), IMAGE_ROOT)
        finally:
            subprocess.run([*command, "clean"], check=True)
