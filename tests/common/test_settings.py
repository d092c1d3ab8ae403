"""What every stage's settings do beside reading the environment."""

import os
import urllib.request

import httpx
import pytest
import requests

from common.health.server import serve_health
from common.health.state import Health
from dashboard_stream.settings import Settings


def test_a_proxy_of_the_environment_is_for_the_rest_of_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    monkeypatch.delenv("no_proxy", raising=False)
    for _ in range(2):
        Settings(api_url="http://api:8000", target_database_url="postgresql://user:password@database:5432/name")
    assert os.environ["NO_PROXY"] == "elsewhere.example,127.0.0.1,localhost,api,database"
    assert os.environ["no_proxy"] == "127.0.0.1,localhost,api,database"
    server = serve_health(Health(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.server_port}/livez"
    try:
        assert httpx.get(url).status_code == 200
        assert requests.get(url, timeout=10).status_code == 200
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200
    finally:
        server.shutdown()
        server.server_close()
