"""The rules that keep the house in order."""

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from common.settings import PortSettings, StageSettings
from tests.repo.compose import BASES, STAGE_FILES

STAGES = (
    "data_prepare",
    "data_generate",
    "model_registry",
    "api_serving",
    "connect_reconciler",
    "dashboard_stream",
)
LONGEST_FILE = 220
"""Lines. A longer module has more than one job."""


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", pattern], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [REPOSITORY / name for name in listed.stdout.splitlines() if (REPOSITORY / name).exists()]


def imported_packages(source: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("stage", [*STAGES, "common"])
def test_a_stage_imports_only_itself_and_common(stage: str) -> None:
    others = {*STAGES, "local_stack", "tests", "benchmarks"} - {stage}
    for source in tracked(f"{stage}/*.py"):
        assert not imported_packages(source) & others, source


def test_the_folder_kafka_is_no_package() -> None:
    """It would hide the client library of that name."""
    assert not list((REPOSITORY / "kafka").glob("*.py"))


def test_files_are_short() -> None:
    sources = [path for path in tracked("*.py") if "tests" not in path.parts]
    assert sources
    long = {str(path): lines for path in sources if (lines := len(path.read_text().splitlines())) > LONGEST_FILE}
    assert not long


def test_environment_is_read_in_settings_only() -> None:
    """`local_stack` hands its environment on to what it starts, and so does the registry server."""
    for stage in (*STAGES, "common"):
        for source in tracked(f"{stage}/*.py"):
            assert not re.search(r"os\.(environ(?!\.update)|getenv)", source.read_text()), source


def test_pins_carry_hashes_and_no_addresses() -> None:
    files = tracked("requirements/*.txt")
    assert {path.stem for path in files} == {*STAGES, "local_stack", "development"}
    for path in files:
        text = path.read_text()
        assert "://" not in text, path
        assert text.count("==") <= text.count("--hash=sha256:"), path


def test_every_make_target_is_documented_in_help() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in re.findall(r"^\.PHONY: (\S+)$", makefile, re.MULTILINE):
        assert re.search(rf"^{target}:.*## \S", makefile, re.MULTILINE), target


@pytest.mark.parametrize("stage", [*STAGES, "kafka", "local_stack"])
def test_every_stage_has_a_page(stage: str) -> None:
    text = (REPOSITORY / stage / "README.md").read_text()
    assert len(text.splitlines()) > 10
    assert f"({stage}/README.md)" in (REPOSITORY / "README.md").read_text()


def test_links_between_documents_lead_somewhere() -> None:
    for page in tracked("*.md"):
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert "://" in link or (page.parent / link).exists(), f"{page}: {link}"


def test_every_setting_is_in_the_example_file() -> None:
    example = (REPOSITORY / ".env.example").read_text()
    documented = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    assert declared_settings() | set(compose_variables()) == documented
    assert len(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE)) == len(documented), "named twice"


def test_containers_have_the_documented_defaults() -> None:
    defaults = dict(re.findall(r"^# ([A-Z][A-Z0-9_]+)=(.*)$", (REPOSITORY / ".env.example").read_text(), re.MULTILINE))
    for variable, default in compose_variables().items():
        # Without own images there are volumes of that name.
        if variable not in {"MONDAY_DIR", "TUESDAY_DIR"}:
            assert {default} == {defaults[variable]}, variable


def compose_variables() -> dict[str, str]:
    """The variables of the compose files with their defaults, which must be the same everywhere."""
    found: dict[str, str] = {}
    for file in (*STAGE_FILES, BASES):
        for variable, default in re.findall(r"\$\{([A-Z][A-Z0-9_]+):-([^}]*)\}", file.read_text()):
            assert found.setdefault(variable, default) == default, f"{variable} has another default in {file}"
    return found


def declared_settings() -> set[str]:
    """Every environment variable that some settings class reads."""
    for stage in (*STAGES, "local_stack"):
        # Generators of sample data and the like may have none.
        if (REPOSITORY / stage / "settings.py").exists():
            importlib.import_module(f"{stage}.settings")
    classes: set[type[StageSettings]] = {PortSettings, *StageSettings.__subclasses__()}
    variables = set()
    for settings in classes:
        prefix = settings.model_config.get("env_prefix", "")
        for name, field in settings.model_fields.items():
            variables.add(str(field.validation_alias or f"{prefix}{name}".upper()))
    return variables
