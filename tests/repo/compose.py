"""The compose files as tests read them: as written, and as Compose itself merges them."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from common.paths import REPOSITORY

ROOT = REPOSITORY / "docker-compose.yaml"
STAGE_FILES = tuple(sorted(REPOSITORY.glob("*/*docker-compose.yaml")))
BASES = REPOSITORY / "common" / "service.yaml"


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


@cache
def written(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    return content


def merged(file: Path, **variables: str) -> dict[str, Any]:
    """What Compose makes of a file that is started in its own folder; `AssertionError` with its words otherwise."""
    answer = config(file, "--format", "json", "--profile", "*", variables=variables)
    content: dict[str, Any] = json.loads(answer)
    return content


def config(file: Path, *options: str, variables: Mapping[str, str] | None = None) -> str:
    profile = options[options.index("--profile") :][:2] if "--profile" in options else ()
    rest = [option for option in options if option not in profile]
    # Nobody's own `.env` or environment may decide here.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | dict(variables or {})
    command = ["docker", "compose", "--env-file", os.devnull, *profile, "-f", file.name, "config", *rest]
    answer = subprocess.run(command, cwd=file.parent, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"{file}: {answer.stderr}"
    return answer.stdout
