"""Passwords from files."""

from pathlib import Path

import pytest

from common.cli import UserError
from common.paths import SECRETS
from common.secret_files import read_secret


def test_the_line_end_is_not_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret word\n")
    assert read_secret(tmp_path / "password") == "s3cret word"


def test_what_cannot_serve_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        read_secret(tmp_path / "missing")
    (tmp_path / "blank").write_text("\n")
    with pytest.raises(UserError, match="empty"):
        read_secret(tmp_path / "blank")


@pytest.mark.parametrize("name", ["source-password", "target-password"])
def test_the_documented_defaults_are_there(name: str) -> None:
    assert read_secret(SECRETS / name)
