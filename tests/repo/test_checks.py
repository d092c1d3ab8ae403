"""Hooks and workflow run what `make` runs, with nothing that is fetched unpinned and no right to write."""

import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from common.paths import REPOSITORY


@pytest.fixture
def workflow() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    return content


@pytest.fixture
def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_workflow_runs_the_check_that_the_repository_names(steps: list[dict[str, Any]]) -> None:
    assert ".ci/run" in [step.get("run") for step in steps]
    assert (REPOSITORY / ".ci/run").read_text().rstrip().endswith("\nmake test")


def test_the_workflow_builds_images_for_both_architectures(steps: list[dict[str, Any]]) -> None:
    [build] = [step["run"] for step in steps if "buildx bake" in step.get("run", "")]
    assert "*.platform=linux/amd64,linux/arm64" in build
    assert "--push" not in build


def test_the_workflow_may_read_and_ends_what_is_outdated(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job, name
        assert job["timeout-minutes"] <= 120, name


def test_actions_are_pinned_by_their_major_version(steps: list[dict[str, Any]]) -> None:
    actions = [step["uses"] for step in steps if "uses" in step]
    assert actions
    assert not [action for action in actions if not re.fullmatch(r"(actions|docker)/[a-z-]+@v\d+", action)]


def test_hooks_are_the_linters_of_the_environment() -> None:
    content = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in content["repos"]] == ["local"]
    hooks = content["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    linters = {line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()}
    assert linters <= {hook["entry"] for hook in hooks}
