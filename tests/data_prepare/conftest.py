import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from PIL import Image

from common.cli import run


@dataclass(frozen=True)
class Outcome:
    code: int
    output: str
    errors: str


RunCommand = Callable[..., Outcome]


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Run a typer app as its script does, through `common.cli.run`."""

    def call(app: typer.Typer, *arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(app)
        captured = capsys.readouterr()
        message = ended.value.code
        if isinstance(message, str):  # Python prints it and exits with 1.
            return Outcome(1, captured.out, captured.err + message)
        return Outcome(message or 0, captured.out, captured.err)

    return call


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two classes of three pictures, each of one colour."""
    root = tmp_path / "monday"
    for class_name, grey in (("brick", 90), ("wood", 170)):
        for number in range(3):
            path = root / class_name / f"{class_name}_{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (60 + 7 * number, 48), (grey, grey - 20, 10 * number)).save(path)
    return root
