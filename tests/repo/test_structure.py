"""The rules that keep the house in order."""

import importlib
import re
import subprocess
from collections import Counter
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
LONGEST_TEST = 250
"""Lines. A longer module has more than one job."""
MOST_MODULES = 12
"""In a folder, beside its `__init__`. More of them are to be sorted into wings."""
VARIANTS = {"model_registry/strategies", "data_prepare/rendering"}
"""Folders whose files are variants of one protocol may hold as many as there are variants."""


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", pattern], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [REPOSITORY / name for name in listed.stdout.splitlines() if (REPOSITORY / name).exists()]


def test_the_folder_kafka_is_no_package() -> None:
    """It would hide the client library of that name."""
    assert not list((REPOSITORY / "kafka").glob("*.py"))


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in tracked("*.py")}
    assert sorted(lengths.values())[len(lengths) // 2] <= 90
    limits = {path: LONGEST_TEST if "tests" in path.relative_to(REPOSITORY).parts else LONGEST_FILE for path in lengths}
    assert not {str(path): lines for path, lines in lengths.items() if lines > limits[path]}


def test_a_folder_holds_about_a_dozen_modules() -> None:
    names = [
        path.relative_to(REPOSITORY) for path in tracked("*.py") if path.name not in {"__init__.py", "__main__.py"}
    ]
    counts = Counter(name.parent.as_posix() for name in names)
    assert not {folder: count for folder, count in counts.items() if count > MOST_MODULES and folder not in VARIANTS}


def test_environment_is_read_in_settings_only() -> None:
    """`local_stack` hands its environment on to what it starts, and so does the registry server."""
    for stage in (*STAGES, "common"):
        for source in set(tracked(f"{stage}/*.py")) - {REPOSITORY / "common" / "settings.py"}:
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
