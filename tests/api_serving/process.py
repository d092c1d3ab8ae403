"""The API as a process of its own."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from common.paths import REPOSITORY
from tests import workers

FIRST_PORT = 19300
"""No stack of another test has a port from here on to 19700."""


def free_port() -> int:
    first = FIRST_PORT + 100 * workers.NUMBER
    for port in range(first, first + 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no free port")


@contextmanager
def api_process(
    form: str, folder: str, environment: Mapping[str, str], log: int = subprocess.PIPE
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address. Whoever keeps it busy must read its log, or give `log=subprocess.DEVNULL`."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", form, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY / folder, env=environment, stderr=log, text=True)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False
