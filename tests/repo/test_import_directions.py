"""Which folder may import which; the contracts are in pyproject.toml."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from tests.repo.test_structure import STAGES, tracked

HOUSE = (*STAGES, "common", "local_stack")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for source in [REPOSITORY / "pyproject.toml", *(path for stage in HOUSE for path in tracked(f"{stage}/*.py"))]:
        target = tmp_path / source.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("model_registry/network/pretrained_weights.py", "import model_registry.adaptation.gate"),
        ("model_registry/versions/registration.py", "import model_registry.save_model_to_registry"),
        ("dashboard_stream/drift/sliding_window.py", "import dashboard_stream.subscriber.batches"),
        ("api_serving/models/model_holder.py", "import api_serving.request_handling.problems"),
        ("data_generate/rows/mixes.py", "import data_prepare.codec"),
        ("common/names.py", "import local_stack.settings"),
    ],
)
def test_an_import_upwards_or_sideways_is_refused(copy: Path, module: str, line: str) -> None:
    before = lint_imports(copy)
    assert before.returncode == 0, before.stdout
    with (copy / module).open("a") as source:
        source.write(f"{line}\n")
    answer = lint_imports(copy)
    assert answer.returncode == 1
    assert "BROKEN" in answer.stdout


def wings() -> list[Path]:
    return [path for stage in HOUSE for path in (REPOSITORY / stage).iterdir() if (path / "__init__.py").exists()]


def test_every_wing_says_in_a_line_what_it_is_for() -> None:
    assert len(wings()) > 15
    for wing in wings():
        first, *rest = (wing / "__init__.py").read_text().splitlines()
        assert first.startswith('"""'), wing
        assert first.endswith('."""'), wing
        # What a wing of variants offers is listed here too.
        assert not rest or wing.name == "strategies", wing


def test_no_wing_hides_a_module_of_the_library() -> None:
    """`cd api_serving && uvicorn app:app` puts the stage's folder first on the path, whatever is imported there."""
    for wing in wings():
        assert wing.name not in sys.stdlib_module_names, wing
        assert importlib.util.find_spec(wing.name) is None, f"{wing} hides the installed package of that name"
