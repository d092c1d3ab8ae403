"""A version that is trained and registered once, and the commands."""

import logging
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from common.cli import UserError
from common.paths import REPOSITORY
from model_registry.versions.registry_client import Registry, connect
from tests.conftest import Stack
from tests.timeouts import WAIT_TIMEOUT_S

Answer = subprocess.CompletedProcess[str]


def command(script: str, *arguments: str, **variables: str) -> Answer:
    """Run a script of the stage as its README says: from its folder, with no keys of the object store."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, f"{script}.py", *arguments],
        cwd=REPOSITORY / "model_registry",
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
    )


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Commands that run in this process set up logging to a stream that ends with them."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def model_name() -> str:
    return f"registry_test_{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def saved(stack: Stack, model_name: str) -> Answer:
    """What the first training printed."""
    stack.wait_ready("mlflow-server")
    answer = command("save_model_to_registry", "--model-name", model_name, "--seed", "3")
    assert answer.returncode == 0, answer.stderr
    return answer


@pytest.fixture(scope="session")
def run_id(saved: Answer) -> str:
    found = re.search(r"^run id +([0-9a-f]{32})$", saved.stdout, re.MULTILINE)
    assert found, saved.stdout
    return found.group(1)


@pytest.fixture(scope="session")
def registry(stack: Stack, model_name: str, saved: Answer) -> Registry:
    return connect(stack.mlflow_uri, model_name, timeout_s=WAIT_TIMEOUT_S)


def refusal(script: typer.Typer, *arguments: str) -> str:
    """The message of a command that refuses, run in this process to save its start; it must be one line."""
    answer = CliRunner().invoke(script, list(arguments))
    assert isinstance(answer.exception, UserError), answer.exception
    message = str(answer.exception)
    assert len(message.splitlines()) == 1
    return message
