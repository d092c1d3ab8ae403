import subprocess
from pathlib import Path

import pytest

from model_registry.settings import Settings
from model_registry.training.code_version import UNKNOWN, code_commit


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("model_registry.training.code_version.REPOSITORY", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    answer = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def test_the_checkouts_commit_and_whether_files_differ(checkout: Path) -> None:
    git(checkout, "init", "--quiet")
    (checkout / "code.py").write_text("1")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "one")
    git(checkout, "tag", "v1")
    commit = git(checkout, "rev-parse", "HEAD")
    assert code_commit(Settings()) == commit
    (checkout / "code.py").write_text("2")
    assert code_commit(Settings()) == f"{commit}-dirty"


def test_without_a_checkout_it_is_unknown_or_what_the_settings_say(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_commit(Settings()) == UNKNOWN
    monkeypatch.setenv("MODEL_REGISTRY_CODE_COMMIT", "abc")
    assert code_commit(Settings()) == "abc"
    monkeypatch.delenv("MODEL_REGISTRY_CODE_COMMIT")
    monkeypatch.setenv("PATH", "")
    assert code_commit(Settings()) == UNKNOWN
