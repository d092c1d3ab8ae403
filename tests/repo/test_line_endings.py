"""Text has LF in every checkout: a shell refuses a script whose lines end in CR LF."""

import shutil
import subprocess
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from tests.repo.test_structure import tracked

# Nobody's own configuration may decide here.
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main"]
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run([*GIT, *arguments], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """What is tracked, as it is now, by its path in the repository."""
    return [path.relative_to(REPOSITORY) for path in tracked("*") if path.is_file() and not path.is_symlink()]


@pytest.fixture(scope="module")
def checkout(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as made where git turns LF into CR LF unless it is told not to."""
    origin, clone = (tmp_path_factory.mktemp("line-endings") / name for name in ("origin", "clone"))
    for file in files:
        (origin / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / file, origin / file)
    git(origin, "init")
    git(origin, "add", "--all", "--force")
    git(origin, "commit", "--message", "all")
    git(origin, "-c", "core.autocrlf=true", "clone", "--config", "core.autocrlf=true", str(origin), str(clone))
    return clone


def test_no_text_is_kept_with_carriage_returns(files: list[Path]) -> None:
    texts = {file: content for file in files if b"\0" not in (content := (REPOSITORY / file).read_bytes())}
    assert Path("README.md") in texts
    assert not [str(file) for file, content in texts.items() if b"\r" in content]


def test_scripts_can_be_run_wherever_they_are_checked_out(files: list[Path], checkout: Path) -> None:
    scripts = [file for file in files if file.suffix == ".sh" or (REPOSITORY / file).read_bytes().startswith(b"#!")]
    known = {Path(".ci/run"), Path("kafka/fetch-jars.sh"), Path("local_stack/processes/install-maven.sh")}
    assert known <= set(scripts)
    for script in scripts:
        assert b"\r" not in (checkout / script).read_bytes(), script


def test_a_checkout_is_the_same_everywhere(files: list[Path], checkout: Path) -> None:
    """Byte for byte, pictures as well."""
    assert not [str(file) for file in files if (checkout / file).read_bytes() != (REPOSITORY / file).read_bytes()]
