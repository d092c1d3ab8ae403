"""What containers' health checks say."""

import socket
import subprocess
import sys
import threading

import pytest

from common.health.server import serve_health
from common.health.state import Health
from common.paths import REPOSITORY


@pytest.fixture
def health() -> Health:
    return Health()


def check(url: str) -> subprocess.CompletedProcess[str]:
    # As in a container: without the packages.
    command = [sys.executable, "-IS", str(REPOSITORY / "common" / "health" / "check.py"), url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_says_what_the_service_says(health: Health) -> None:
    server = serve_health(health, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.server_port}/readyz"
    assert check(address).returncode == 0
    health.mark_missing("database", "it is away")
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


@pytest.mark.parametrize(
    ("answer", "said"), [(b"", "nothing"), (b"SSH-2.0-OpenSSH\r\n", "nothing"), (b"* BYE\r\n\r\n", "BYE")]
)
def test_another_protocol_is_unhealthy(answer: bytes, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        checked = check(f"http://127.0.0.1:{server.getsockname()[1]}/livez")
    assert checked.returncode == 1
    assert f"answers {said}" in checked.stderr
