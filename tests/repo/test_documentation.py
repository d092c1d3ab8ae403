"""Whoever reads the pages finds every make target, setting, service and port."""

import re
import subprocess
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from common.settings import PortSettings, StageSettings
from local_stack.processes.services import SERVICES
from tests.repo.compose import STAGE_FILES, written
from tests.repo.test_structure import STAGES, declared_settings, tracked

PUBLISHED = re.compile(r"127\.0\.0\.1:\$\{\w+:-(\d+)\}:\d+")


def page(folder: Path) -> str:
    return (folder / "README.md").read_text()


def targets() -> list[str]:
    return re.findall(r"^\.PHONY: (\S+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


def test_help_shows_every_target_under_a_heading() -> None:
    command = ["make", "--no-print-directory", "help"]
    lines = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    assert re.match(r"\w", lines[0]), "a heading comes first"
    headings = [line for line in lines if re.match(r"\w", line)]
    assert {"Start here", "Local stack", "Containers", "Models", "Development"} <= set(headings)
    shown = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(shown) == sorted([*targets(), "up-%"])


@pytest.mark.parametrize("target", targets())
def test_every_make_target_is_on_a_page(target: str) -> None:
    pages = "\n".join(path.read_text() for path in tracked("*.md"))
    assert re.search(rf"\bmake {target}(?![\w-])|`{target}`", pages)


@pytest.mark.parametrize("stage", [*STAGES, "local_stack"])
def test_every_setting_is_on_its_stages_page(stage: str) -> None:
    declared_settings()  # imports them all
    text = page(REPOSITORY / stage)
    for settings in StageSettings.__subclasses__():
        if settings is PortSettings or not settings.__module__.startswith(f"{stage}."):
            continue
        prefix = str(settings.model_config.get("env_prefix", ""))
        for name, field in settings.model_fields.items():
            # A page may say the prefix once: `API_SERVING_…`: `IMAGE_ROOT`, or `_IMAGE_ROOT`.
            forms = [str(field.validation_alias)] if field.validation_alias else [name.upper(), f"_{name.upper()}"]
            assert any(re.search(rf"(`|\b{prefix}){form}\b", text) for form in forms), f"{stage}: {name.upper()}"


@pytest.mark.parametrize("folder", sorted({file.parent for file in STAGE_FILES}), ids=lambda folder: folder.name)
def test_services_of_containers_are_on_their_stages_page(folder: Path) -> None:
    files = [file for file in STAGE_FILES if file.parent == folder]
    for service in (name for file in files for name in written(file)["services"]):
        assert re.search(rf"(?<![\w-]){service}(?![\w-])", page(folder)), service


def test_the_readme_has_each_stages_published_ports() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(\S+\) \|.*\| ([\d, ]*)\|$", page(REPOSITORY), re.MULTILINE)
    listed = {stage: {int(port) for port in re.findall(r"\d+", ports)} for stage, ports in rows}
    published: dict[str, set[int]] = {}
    for file in STAGE_FILES:
        published.setdefault(file.parent.name, set()).update(map(int, PUBLISHED.findall(file.read_text())))
    # Its reconciler's container belongs to the compose file of `kafka`.
    published["connect_reconciler"] = {9102}
    published["kafka"] -= {9102}
    assert {stage: ports for stage, ports in listed.items() if ports} == {s: p for s, p in published.items() if p}


def test_the_local_stacks_page_has_its_services_with_their_ports() -> None:
    rows = re.findall(r"^\| ([\w, -]+) \| ([^|]*)\| [^|]+ \|$", page(REPOSITORY / "local_stack"), re.MULTILINE)
    listed = {tuple(names.split(", ")): set(map(int, re.findall(r"\b\d{4}\b", ports))) for names, ports in rows}
    ports = {service.name: set(service.ports.values()) for service in SERVICES}
    assert {name for names in listed for name in names} >= set(ports)
    for names, shown in listed.items():
        if set(names) <= set(ports):
            assert shown == set().union(*(ports[name] for name in names)), names
