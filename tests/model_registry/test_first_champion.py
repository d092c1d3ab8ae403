"""What the registry's answers mean to the one who sees to it that there is a champion."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from model_registry.first_champion import RegistryAway, champion_version


class Registry(HTTPServer):
    status = 200
    body: object = None
    asked = ""


class Answer(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self.server.asked = self.path
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.body).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def registry() -> Iterator[Registry]:
    server = Registry(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ask(registry: Registry) -> str | None:
    return champion_version(f"http://127.0.0.1:{registry.server_port}")


def test_the_version_behind_the_alias(registry: Registry) -> None:
    registry.body = {"model_version": {"name": "sk_model", "version": "7"}}
    assert ask(registry) == "7"
    assert registry.asked.endswith("alias?name=sk_model&alias=champion")


@pytest.mark.parametrize("status", [400, 404])
def test_no_such_model_or_alias(registry: Registry, status: int) -> None:
    registry.status = status
    assert ask(registry) is None


def test_trouble_is_no_reason_to_train(registry: Registry) -> None:
    """403 from a server that does not let us in, 500 from one whose database is away, or something else answering."""
    for registry.status in (403, 500):
        with pytest.raises(RegistryAway, match=str(registry.status)):
            ask(registry)
    registry.status, registry.body = 200, ["not MLflow"]
    with pytest.raises(RegistryAway):
        ask(registry)


def test_nobody_there() -> None:
    with pytest.raises(RegistryAway):
        champion_version("http://127.0.0.1:9")
