"""What containers' health checks say."""

import subprocess
import sys

import pytest

from common.health.server import serve_health
from common.health.state import Health


@pytest.fixture
def health() -> Health:
    return Health()


def check(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "common.health.check", url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_says_what_the_service_says(health: Health) -> None:
    server = serve_health(health, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.server_port}/readyz"
    assert check(address).returncode == 0
    health.lacks("database", "it is away")
    answer = check(address)
    assert answer.returncode == 1
    assert "503" in answer.stderr
    assert "it is away" in answer.stderr
    server.shutdown()
    server.server_close()


def test_nobody_there_is_unhealthy() -> None:
    answer = check("http://127.0.0.1:9/livez")
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
