"""The platform in containers, under names and on ports of its own, and what tests ask of the engine."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psycopg2
from psycopg2.extensions import connection as Connection

from common.paths import REPOSITORY
from tests.repo.compose import BASES, STAGE_FILES, written

NETWORK = "cargo-test"
PORT_OFFSET = 17000
"""Beside the local stacks of the other tests."""

PORTS = {
    variable: int(default)
    for file in STAGE_FILES
    for variable, default in re.findall(r"127\.0\.0\.1:\$\{(\w+_PORT):-(\d+)\}", file.read_text())
}
"""The documented ports by the variables that move them."""


def port(documented: int) -> int:
    return documented + PORT_OFFSET


def run(*command: str, timeout_s: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository; its output is in the result."""
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


@cache
def missing_prerequisite() -> str | None:
    """Why containers cannot be started here; None if they can."""
    try:
        engine = run("docker", "info", timeout_s=30)
        compose = run("docker", "compose", "version", timeout_s=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no Docker engine answers: {error}"
    if engine.returncode != 0:
        return f"no Docker engine answers: {engine.stderr.strip()}"
    if compose.returncode != 0:
        return "docker compose is not installed"
    for name in needed():
        if not is_available(name):
            return f"the image {name} cannot be had"
    return None


def needed() -> list[str]:
    """The images of others that are started or built upon whatever is left out."""
    services = written(BASES)["services"]
    built_upon = [name for base in ("python", "connect") for name in services[base]["build"]["args"].values()]
    return [*(image(base) for base in ("broker", "postgres", "object-store-seaweedfs")), *built_upon]


def image(base: str) -> str:
    """The image that a service of common/service.yaml names."""
    return str(written(BASES)["services"][base]["image"])


@cache
def is_available(name: str) -> bool:
    """Whether an image is there or can be pulled."""
    if run("docker", "image", "inspect", name).returncode == 0:
        return True
    try:
        return run("docker", "pull", "-q", name, timeout_s=600).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def unavailable_services() -> set[str]:
    """Services whose image cannot be had on this machine."""
    return set() if is_available(image("grafana")) else {"grafana-dashboard"}


class Containers:
    """One Compose project: a file, the variables it is started with, and its containers."""

    def __init__(self, file: Path, project: str, variables: Mapping[str, str]) -> None:
        self._file, self._project = file, project
        self._environment = {
            # The user's own images and choices are not what is tested.
            **dict.fromkeys(("MONDAY_DIR", "TUESDAY_DIR", "DATA_GENERATE_MIX", "DATA_GENERATE_SCHEDULE"), ""),
            **{variable: str(port(documented)) for variable, documented in PORTS.items()},
            "CARGO_NETWORK": NETWORK,
            "COMPOSE_IGNORE_ORPHANS": "true",
            **variables,
        }

    def compose(self, *arguments: str, timeout_s: float = 600) -> str:
        """Its standard output; `AssertionError` with its messages when it fails."""
        command = ["docker", "compose", "--env-file", os.devnull, "-p", self._project, "-f", str(self._file)]
        answer = run(*command, *arguments, timeout_s=timeout_s, **self._environment)
        assert answer.returncode == 0, f"{' '.join(arguments)}: {answer.stderr[-3000:]}\n{self._unhealthy_containers()}"
        return answer.stdout

    def services(self) -> list[str]:
        return [name for name in self.compose("config", "--services").split() if name not in unavailable_services()]

    def up(self) -> None:
        """As a user starts it, but for the services whose image cannot be had."""
        self.compose("up", "-d", "--build", "--wait", *self.services())

    def down(self, *options: str) -> None:
        self.compose("down", "--remove-orphans", *options)

    def inspect(self, service: str) -> dict[str, Any]:
        # By the engine, in a tenth of the time that Compose takes for it.
        (identifier,) = run("docker", "ps", "-aq", *self._labelled("service", service)).stdout.split()
        content: list[dict[str, Any]] = json.loads(run("docker", "inspect", identifier).stdout)
        return content[0]

    def _labelled(self, *label: str) -> list[str]:
        labels = [("project", self._project), *([label] if label else [])]
        return [word for name, value in labels for word in ("--filter", f"label=com.docker.compose.{name}={value}")]

    def _unhealthy_containers(self) -> str:
        """The last words of every container that is not as it should be."""
        shown = run("docker", "ps", "-a", *self._labelled(), "--format", "{{.Names}}\t{{.Status}}").stdout
        words = []
        for line in shown.splitlines():
            name, status = line.split("\t")
            if "(healthy)" not in status and "Exited (0)" not in status:
                answer = run("docker", "logs", "--tail", "15", name)
                words.append(f"{name}: {status}\n{answer.stdout}{answer.stderr}")
        return "\n".join(words)


def readiness() -> str:
    """What each service that knows says of itself, and of what it lacks."""
    answers = []
    for name, documented in PORTS.items():
        if name == "API_PORT" or name.endswith("_HEALTH_PORT"):
            try:
                words = httpx.get(f"http://127.0.0.1:{port(documented)}/readyz", timeout=5).text
            except httpx.HTTPError as error:
                words = repr(error)
            answers.append(f"{name}: {words}")
    return "\n".join(answers)


def database_url(which: str) -> str:
    """The owner's address of the source or the target database."""
    return {
        "source": f"postgresql://myuser:mypassword@127.0.0.1:{port(5432)}/mydatabase",
        "target": f"postgresql://targetuser:targetpassword@127.0.0.1:{port(5433)}/targetdatabase",
    }[which]


@contextmanager
def session(url: str) -> Iterator[Connection]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def ask(url: str, query: str) -> Any:
    """The first value of the first row."""
    with session(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        (value, *_) = cursor.fetchone() or (None,)
        return value
