"""What a newcomer without Maven is told, or what is installed for them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from common.paths import REPOSITORY

SCRIPT = REPOSITORY / "local_stack" / "processes" / "install-maven.sh"


def program(folder: Path, name: str, body: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def install(path: Path) -> subprocess.CompletedProcess[str]:
    shell = shutil.which("sh")
    assert shell is not None
    return subprocess.run([shell, SCRIPT], env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def test_nothing_is_done_where_maven_is(tmp_path: Path) -> None:
    program(tmp_path, "mvn", "exit 0")
    program(tmp_path, "apt-get", "exit 9")
    answer = install(tmp_path)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_root_on_debian_gets_it_installed_with_a_line_that_says_so(tmp_path: Path) -> None:
    program(tmp_path, "id", "echo 0")
    program(tmp_path, "apt-get", f'echo "$@" >> {tmp_path}/calls')
    answer = install(tmp_path)
    assert answer.returncode == 0
    assert "installing it with apt-get" in answer.stdout
    update, installed = (tmp_path / "calls").read_text().splitlines()
    assert update.startswith("update")
    assert "maven" in installed


@pytest.mark.parametrize(
    ("manager", "command"), [("apt-get", "sudo apt-get install maven"), ("brew", "brew install maven")]
)
def test_others_are_told_the_command(tmp_path: Path, manager: str, command: str) -> None:
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, manager, "exit 9")
    answer = install(tmp_path)
    assert answer.returncode == 1
    assert command in answer.stderr


def test_an_unknown_system_is_told_what_is_missing(tmp_path: Path) -> None:
    answer = install(tmp_path)
    assert answer.returncode == 1
    assert "Install Maven and a Java runtime of version 17" in answer.stderr
