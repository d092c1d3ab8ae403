"""Wrong input ends with one line on standard error, before anything is connected to."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.paths import REPOSITORY


def command(*arguments: str, manifests: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "DATA_GENERATE_MANIFEST_DIR": str(manifests),
        # Nothing listens there, should it get so far.
        "DATA_GENERATE_SOURCE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "PATH": "",
        # This checkout, whatever is installed.
        "PYTHONPATH": str(REPOSITORY),
    }
    return subprocess.run(
        [sys.executable, "data_generator.py", *arguments],
        cwd=REPOSITORY / "data_generate",
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    (tmp_path / "monday.json").write_text('{"image_path": "wood/a.jpg", "target": 4}\n')
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mix", "monday=0.5"], "the fractions sum to 0.5"),
        (["--dataset", "../../etc/passwd"], "is no name of a data set"),
        (["--dataset", "wednesday"], "wednesday.json cannot be read"),
        (["--dataset", "monday", "--mix", "monday"], "give one of them"),
        (["--schedule", "soon:monday"], "schedule entry"),
        (["--table", "iris", "--mix", "monday"], "leave them out with --table iris"),
        (["--rate", "-1"], "rate: Input should be greater than or equal to 0"),
        (["--rate", "nan"], "rate"),
        (["--rate", "100001"], "rate: Input should be less than or equal to 100000"),
    ],
)
def test_wrong_input_is_one_line(manifests: Path, arguments: list[str], message: str) -> None:
    done = command(*arguments, manifests=manifests)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_unknown_table_is_a_usage_error(manifests: Path) -> None:
    done = command("--table", "roses", manifests=manifests)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
