"""How the client meets a server that is away, or that refuses it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.cli import UserError
from common.paths import REPOSITORY
from model_registry import load_model_from_registry
from model_registry.versions.registry_client import connect


class Forbidding(BaseHTTPRequestHandler):
    """Healthy, and closed to everyone, as MLflow is to a Host header that it does not know."""

    def do_GET(self) -> None:
        healthy = self.path == "/health"
        self._answer(HTTPStatus.OK if healthy else HTTPStatus.FORBIDDEN, b"OK" if healthy else b"Invalid Host header")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(HTTPStatus.FORBIDDEN, b"Invalid Host header")

    def _answer(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture
def closed_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), Forbidding) as server:
        return server.server_port


def test_a_server_that_refuses_the_client_is_told_from_one_that_is_away() -> None:
    with serving(Forbidding) as address, pytest.raises(UserError, match="MODEL_REGISTRY_ALLOWED_HOSTS"):
        connect(address, "model", timeout_s=5)


@pytest.mark.parametrize("name", ["", "a/b", "a:1"])
def test_names_that_mlflow_cannot_take_are_refused_at_once(name: str, closed_port: int) -> None:
    with pytest.raises(UserError, match="no model name"):
        connect(f"http://127.0.0.1:{closed_port}", name, timeout_s=60)


@pytest.mark.services
@pytest.mark.parametrize("command", [("load_model_from_registry", "--alias", "champion"), ("save_model_to_registry",)])
def test_commands_end_with_one_line_when_the_server_is_away(
    command: tuple[str, ...], closed_port: int, tmp_path: Path
) -> None:
    script, *arguments = command
    environment = {
        **os.environ,
        "MODEL_REGISTRY_TRACKING_URI": f"http://127.0.0.1:{closed_port}",
        "MODEL_REGISTRY_WAIT_TIMEOUT_S": "0.5",
    }
    answer = subprocess.run(
        [sys.executable, REPOSITORY / "model_registry" / f"{script}.py", *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1
    errors = [line for line in answer.stderr.splitlines() if " INFO " not in line]
    assert len(errors) == 1
    assert "cannot be reached" in errors[0]
    assert "MODEL_REGISTRY_TRACKING_URI" in errors[0]


@pytest.mark.parametrize("arguments", [[], ["--run-id", "a", "--alias", "b"]])
def test_run_and_alias_exclude_each_other(arguments: list[str]) -> None:
    answer = CliRunner().invoke(load_model_from_registry.app, arguments)
    assert answer.exit_code == 2
    assert "one of" in answer.output
