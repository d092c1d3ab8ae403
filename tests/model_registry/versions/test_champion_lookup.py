"""What the registry's answers mean to the services that ask it for the champion."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from model_registry.versions.champion_lookup import Champion, RegistryUnavailable, find_champion


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


def ask(registry: Registry) -> Champion | None:
    return find_champion(f"http://127.0.0.1:{registry.server_port}", "sk_model")


def test_the_version_behind_the_alias(registry: Registry) -> None:
    registry.body = {"model_version": {"name": "sk_model", "version": "7"}}
    assert ask(registry) == Champion("7", None)
    assert registry.asked.endswith("alias?name=sk_model&alias=champion")


def tag(when: str, from_version: str | None) -> dict[str, str]:
    return {"key": f"promotion.{when}", "value": json.dumps({"from_version": from_version, "who": "me"})}


def test_since_when_it_serves(registry: Registry) -> None:
    tags = [
        tag("2026-11-21T12:00:00.000000Z", "1"),
        tag("2026-11-21T13:00:00.000000Z", "3"),
        {"key": "other", "value": "x"},
    ]
    registry.body = {"model_version": {"version": "2", "tags": tags}}
    assert ask(registry) == Champion("2", datetime(2026, 11, 21, 13, tzinfo=UTC))


def test_the_first_champion_took_nobodys_place(registry: Registry) -> None:
    registry.body = {"model_version": {"version": "1", "tags": [tag("2026-11-21T12:00:00.000000Z", None)]}}
    assert ask(registry) == Champion("1", None)


@pytest.mark.parametrize("status", [400, 404])
def test_no_such_model_or_alias(registry: Registry, status: int) -> None:
    registry.status = status
    assert ask(registry) is None


def test_trouble_is_no_reason_to_train(registry: Registry) -> None:
    """403 from a server that does not let us in, 500 from one whose database is away, or something else answering."""
    for registry.status in (403, 500):
        with pytest.raises(RegistryUnavailable, match=str(registry.status)):
            ask(registry)
    registry.status, registry.body = 200, ["not MLflow"]
    with pytest.raises(RegistryUnavailable):
        ask(registry)


def test_nobody_there() -> None:
    with pytest.raises(RegistryUnavailable):
        find_champion("http://127.0.0.1:9", "sk_model")
