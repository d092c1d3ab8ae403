"""Each stage runs with its own pins and nothing more, as in its image."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from tests.repo.test_structure import STAGES

pytestmark = pytest.mark.services
"""Packages come from the network, unless they are in the cache."""

ABSENT = {
    "api_serving": ("sklearn", "mlflow.server.handlers", "pandas", "boto3", "psycopg2", "torch"),
    "dashboard_stream": ("sklearn", "mlflow", "fastapi"),
    "connect_reconciler": ("sklearn", "mlflow", "fastapi"),
    "data_generate": ("sklearn", "mlflow", "fastapi", "kafka.errors"),
    "data_prepare": ("sklearn", "mlflow", "psycopg2"),
    "model_registry": ("torch", "kafka.errors"),
}

IMPORT_ALL = """
import importlib, importlib.util, pathlib, sys
root, stage, *absent = sys.argv[1:]
sys.path.insert(0, root)
for source in sorted(pathlib.Path(root, stage).rglob("*.py")):
    relative = source.relative_to(root).with_suffix("")
    if {"monday", "tuesday"} & set(relative.parts):
        continue
    importlib.import_module(".".join(part for part in relative.parts if part != "__init__"))
for name in absent:
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    sys.exit(f"{name} must not be installed for {stage}")
"""


@pytest.mark.parametrize("stage", STAGES)
def test_stage_imports_with_its_own_pins(stage: str, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    pins = REPOSITORY / "requirements" / f"{stage}.txt"
    python = environment / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", pins], check=True)
    command: list[str | Path] = [python, "-c", IMPORT_ALL, REPOSITORY, stage, *ABSENT[stage]]
    # -c puts the current folder on the path: an empty one, so that only the pins are found.
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
