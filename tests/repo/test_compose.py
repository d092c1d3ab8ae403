"""The rules that the containers keep to, on the configuration as Compose merges it."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.repo.compose import ROOT, STAGE_FILES, config, has_compose, merged, written
from tests.repo.compose_services import JOBS, PORTS, SELF_SUFFICIENT, SERVICES, TOOLS, names, services

needs_compose = pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")


STORES = ("minio", "seaweedfs")


# What an image does not allow: (service, rule) and why.
EXCEPTIONS = {
    (
        "mlflow-artifact-store",
        "user",
    ): "Silo's /data belongs to root in its image; without capabilities that root may do no more than the owner",
}


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return merged(ROOT)


def test_every_stage_has_its_services() -> None:
    assert {names(file): set(written(file)["services"]) for file in STAGE_FILES} == SERVICES


def test_the_root_is_the_list_of_the_stages() -> None:
    content = written(ROOT)
    assert set(content) == {"name", "include"}
    assert sorted(entry["path"] for entry in content["include"]) == sorted(SERVICES)
    assert {entry["env_file"] for entry in content["include"]} == {"common/whole.env"}


@pytest.mark.parametrize("file", STAGE_FILES, ids=names)
def test_stage_files_join_one_project_and_one_network(file: Path) -> None:
    content = written(file)
    assert content["name"] == written(ROOT)["name"] == "cargo"
    assert content["networks"] == {"default": {"name": "${CARGO_NETWORK:-cargo}"}}
    for name, service in services(content):
        assert "container_name" not in service, f"{name}: two stacks could not run side by side"
        assert service["extends"]["file"] == "../common/service.yaml", name
        assert set(service.get("depends_on", {})) <= set(content["services"]), f"{name} depends on another stage"


@pytest.mark.parametrize("file", STAGE_FILES, ids=names)
def test_volumes_of_the_same_name_are_the_same_everywhere(file: Path) -> None:
    for name, volume in (written(file).get("volumes") or {}).items():
        for other in STAGE_FILES:
            others = written(other).get("volumes") or {}
            assert others.get(name, volume) == volume, f"{name} in {other}"


@needs_compose
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("file", [ROOT, *STAGE_FILES], ids=names)
def test_each_file_is_valid_alone(file: Path, store: str) -> None:
    config(file, "-q", variables={"OBJECT_STORE": store})


@needs_compose
def test_an_unknown_object_store_is_refused() -> None:
    with pytest.raises(AssertionError, match="object-store-other"):
        config(ROOT, "-q", variables={"OBJECT_STORE": "other"})


@needs_compose
@pytest.mark.parametrize("store", STORES)
def test_every_service_is_confined(store: str) -> None:
    for name, service in services(merged(ROOT, OBJECT_STORE=store)):
        assert service["read_only"] is True, name
        assert service["init"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert not service.get("cap_add"), name
        assert not service.get("privileged"), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) <= 1536 * 2**20, name
        assert 0 < service["cpus"] <= 2, name
        assert 0 < service["pids_limit"] <= 256, name
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}, name
        assert "/var/run/docker.sock" not in str(service.get("volumes")), name
        if "build" not in service and (name, "user") not in EXCEPTIONS:
            assert re.match(r"[1-9]", service.get("user", "")), f"{name} runs as root"


@needs_compose
def test_exceptions_are_still_needed() -> None:
    for name, rule in EXCEPTIONS:
        assert rule not in merged(ROOT, OBJECT_STORE="minio")["services"][name]


@needs_compose
def test_ports_are_the_documented_ones_on_this_machine_only(whole: dict[str, Any]) -> None:
    published = {
        name: {int(port["published"]) for port in service["ports"]}
        for name, service in services(whole)
        if "ports" in service
    }
    assert published == PORTS
    for name, service in services(whole):
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name


@needs_compose
def test_ports_can_be_moved_each_by_one_variable() -> None:
    text = "".join(file.read_text() for file in STAGE_FILES)
    variables = set(re.findall(r"127\.0\.0\.1:\$\{(\w+_PORT):-\d+\}:\d+", text))
    moved = merged(ROOT, **{name: str(20001 + number) for number, name in enumerate(sorted(variables))})
    published = [port["published"] for _, service in services(moved) for port in service.get("ports", [])]
    assert sorted(published) == [str(20001 + number) for number in range(len(variables))]


@needs_compose
def test_health_checks_are_programs_and_start_patiently(whole: dict[str, Any]) -> None:
    for name, service in services(whole):
        if name in JOBS | TOOLS:
            assert service["restart"] != "unless-stopped", name
            continue
        assert service["restart"] == "unless-stopped", name
        check = service["healthcheck"]
        assert check["test"][0] == "CMD", f"{name}: no shell"
        assert check["start_period"], name
        # Needs a newer engine than some have.
        assert "start_interval" not in check, name


@needs_compose
def test_the_whole_waits_for_readiness_and_a_stage_alone_only_for_life(whole: dict[str, Any]) -> None:
    for file in STAGE_FILES:
        for name, service in services(merged(file)):
            address = service.get("healthcheck", {}).get("test", [""])[-1]
            if not address.endswith(("/livez", "/readyz")):
                continue
            assert address.endswith("/readyz" if name in SELF_SUFFICIENT else "/livez"), name
            assert whole["services"][name]["healthcheck"]["test"][-1].endswith("/readyz"), name


@needs_compose
def test_every_job_has_somebody_who_waits_for_it(whole: dict[str, Any]) -> None:
    """Otherwise `up --wait` ends with 1 although the job succeeded."""
    awaited = {
        dependency
        for name, service in services(whole)
        for dependency, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully" and name not in JOBS
    }
    assert awaited == JOBS


@needs_compose
def test_own_images_replace_the_volumes_and_are_never_written(tmp_path: Path) -> None:
    content = merged(ROOT, MONDAY_DIR=str(tmp_path / "mine"), TUESDAY_DIR=str(tmp_path / "changed"))
    folders = ("/monday", "/tuesday")
    mounts = [
        (name, volume)
        for name, service in services(content)
        for volume in service.get("volumes", [])
        if volume["target"].endswith(folders)
    ]
    assert {name for name, _ in mounts} >= {"sample-data", "first-champion", "api-with-model", "data-prepare"}
    for name, volume in mounts:
        assert (volume["type"], volume.get("read_only")) == ("bind", True), name
    command = content["services"]["sample-data"]["command"]
    assert {"--no-render", "--no-corrupt"} <= set(command)


@needs_compose
def test_no_password_of_a_connector_is_in_the_environment(whole: dict[str, Any]) -> None:
    connect = whole["services"]["connect"]
    assert not [name for name in connect["environment"] if "PASSWORD" in name]
    assert {secret["source"] for secret in connect["secrets"]} == {"source-password", "target-password"}


@needs_compose
def test_services_have_roles_of_their_own(whole: dict[str, Any]) -> None:
    owners = {"myuser", "targetuser"}
    allowed = {"source-tables", "target-tables", "postgres-server", "target-postgres-server"}
    for name, service in services(whole):
        text = str(service.get("environment", {}))
        assert name in allowed or not any(owner in text for owner in owners), f"{name} uses an owner's role"


def test_each_stage_reads_the_settings_of_the_root() -> None:
    """`docker compose up` in a stage's folder looks for `.env` there."""
    for folder in {file.parent for file in STAGE_FILES}:
        link = folder / ".env"
        assert link.is_symlink(), folder
        assert str(link.readlink()) == "../.env"
