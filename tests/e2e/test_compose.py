"""The platform in containers, from outside: stage by stage, as a whole, killed piece by piece, stopped and started."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg2
import pytest
from kafka import KafkaConsumer

from common.names import SOURCE_TOPIC
from common.paths import REPOSITORY
from common.waiting import wait_until
from local_stack.inspection.account import source_end
from tests.e2e.conftest import CLASSES
from tests.e2e.containers import (
    NETWORK,
    Containers,
    ask,
    database_url,
    missing_prerequisite,
    port,
    run,
)
from tests.e2e.pipeline import RATE, STAGES, balanced, connectors_running, flowing, kill, store
from tests.repo.compose import ROOT
from tests.timeouts import WAIT_TIMEOUT_S


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    if why := missing_prerequisite():
        pytest.skip(f"containers cannot be tried here: {why}")


@pytest.fixture(scope="module")
def platform(sample_images: Path) -> Iterator[Containers]:
    """Everything at once, started as the README says."""
    containers = Containers(ROOT, NETWORK, {"OBJECT_STORE": store(), "DATA_GENERATE_RATE": RATE})
    try:
        # What a run that was cut off may have left.
        containers.down("--volumes")
        copy_most_of(sample_images, containers)
        containers.up()
        yield containers
    finally:
        containers.down("--volumes", "--rmi", "local")


def copy_most_of(sample_images: Path, containers: Containers) -> None:
    """Leave a tenth of the images for the containers to render themselves: all of them take more than a minute."""
    copy = "cp -r /sample/. ../api_serving/monday && rm ../api_serving/monday/*/*_?7.jpg"
    mount = ["-v", f"{sample_images}:/sample:ro"]
    containers.compose("run", "--rm", "-T", *mount, "--entrypoint", "sh", "data-prepare", "-c", copy)


def test_stages_alone_from_last_to_first_with_images_of_ones_own(own_images: Path) -> None:
    """Each as a project of its own, as tutorials name them; none finds what it needs until the last one is there."""
    variables = {"OBJECT_STORE": "seaweedfs", "MONDAY_DIR": str(own_images), "DATA_GENERATE_RATE": RATE}
    stages = [
        Containers(REPOSITORY / file, f"{NETWORK}-part{number}", variables)
        for number, file in reversed(list(enumerate(STAGES)))
    ]
    try:
        for stage in stages:
            stage.down("--volumes")
        for stage in stages:
            stage.up()
        wait_until(connectors_running, "both connectors RUNNING", timeout_s=WAIT_TIMEOUT_S)
        flowing()
        model = httpx.get(f"http://127.0.0.1:{port(8000)}/model", timeout=10).json()
        assert model["classes"] == sorted(CLASSES)
        tables = "select count(*) from cargo where image_path !~ '^(planks|rubble|wall)/'"
        assert ask(database_url("target"), tables) == 0
        assert ask(database_url("target"), "select count(*) from cargo_dead_letter") == 0
    finally:
        # The one that made the network goes last and takes it along.
        for stage in reversed(stages):
            stage.down("--volumes", "--rmi", "local")


def test_the_whole_predicts_replicates_and_serves_the_registered_model(platform: Containers) -> None:
    flowing()
    assert connectors_running()
    wait_until(
        lambda: "notes" not in httpx.get(f"http://127.0.0.1:{port(9102)}/readyz", timeout=10).json(),
        "the reconciler may ask the source",
        timeout_s=WAIT_TIMEOUT_S,
    )
    wait_until(
        lambda: ask(database_url("target"), "select count(*) from cargo") >= 600,
        "bulk load replicated",
        timeout_s=WAIT_TIMEOUT_S,
    )
    accuracy = "select avg((target = label)::int) from cargo_prediction"
    assert ask(database_url("target"), accuracy) > 0.95
    answer = httpx.post(
        f"http://127.0.0.1:{port(8000)}/predict", json={"image_path": "background/background_13.jpg"}, timeout=30
    ).json()
    assert (answer["target"], answer["class_name"]) == (0, "background")
    registered = httpx.get(
        f"http://localhost:{port(5001)}/api/2.0/mlflow/registered-models/alias",
        params={"name": "sk_model", "alias": "champion"},
        timeout=10,
    ).json()
    assert answer["model_version"] == registered["model_version"]["version"]


def test_commands_of_the_tutorials(platform: Containers) -> None:
    psql = ["exec", "-T", "-e", "PGPASSWORD=mypassword", "data-generator", "psql", "-h", "postgres-server"]
    rows = platform.compose(*psql, "-U", "myuser", "-d", "mydatabase", "-Atc", "select count(*) from cargo")
    assert int(rows) >= 600
    listed = platform.compose("run", "--rm", "-T", "data-prepare", "image_corruption.py", "--help")
    assert "--type" in listed
    consumer = KafkaConsumer(
        SOURCE_TOPIC, bootstrap_servers=f"localhost:{port(9092)}", auto_offset_reset="earliest", group_id=None
    )
    try:
        wait_until(
            lambda: consumer.poll(timeout_ms=1000), "messages of the topic, from outside", timeout_s=WAIT_TIMEOUT_S
        )
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("database", "role", "statement"),
    [
        ("source", "generatoruser:generatorpassword", "delete from cargo"),
        ("source", "generatoruser:generatorpassword", "create table mine (id int)"),
        ("source", "generatoruser:generatorpassword", "update cargo set image_path = 'x'"),
        ("source", "generatoruser:generatorpassword", "insert into generator_command (command) values ('pause')"),
        ("source", "cdcuser:cdcpassword", "insert into cargo (image_path) values ('x')"),
        ("source", "traineruser:trainerpassword", "insert into cargo (image_path) values ('x')"),
        ("target", "sinkuser:sinkpassword", "select from cargo_prediction"),
        ("target", "writeruser:writerpassword", "delete from cargo"),
        ("target", "reconcileruser:reconcilerpassword", "delete from cargo_prediction"),
        ("target", "monitoruser:monitorpassword", "delete from cargo_prediction"),
        ("target", "dashboardreader:dashboardreaderpassword", "delete from cargo_prediction"),
    ],
)
def test_a_role_may_do_its_work_only(platform: Containers, database: str, role: str, statement: str) -> None:
    _, address = database_url(database).split("@")
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)):
        ask(f"postgresql://{role}@{address}", statement)


def test_containers_are_confined(platform: Containers) -> None:
    """What the engine made of the files: no capability, nothing to write to, and no way to root."""
    for service in ("api-with-model", "connect", "postgres-server", "broker"):
        status = platform.compose("exec", "-T", service, "cat", "/proc/1/status")
        facts = dict(line.split(":\t", 1) for line in status.splitlines())
        assert int(facts["CapEff"], 16) == 0, service
        assert facts["NoNewPrivs"] == "1", service
        assert "0" not in facts["Uid"].split(), service
        with pytest.raises(AssertionError, match="Read-only file system"):
            platform.compose("exec", "-T", service, "sh", "-c", "echo > /usr/bin/x")


def test_no_volume_is_left_without_a_name(platform: Containers) -> None:
    """Images declare volumes; each that no compose file names would be left behind by every `down`."""
    for service in platform.services():
        for mount in platform.inspect(service)["Mounts"]:
            assert mount["Type"] != "volume" or mount["Name"].startswith(NETWORK), f"{service}: {mount['Destination']}"


def test_starting_again_changes_nothing(platform: Containers) -> None:
    before = platform.compose("ps", "-q").split()
    platform.up()
    assert platform.compose("ps", "-q").split() == before


def test_every_container_comes_back_and_no_row_is_lost(platform: Containers) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can kill the processes of containers; `docker kill` counts as a wish to stop")
    running = [name for name in platform.services() if platform.inspect(name)["State"]["Running"]]
    assert len(running) >= 12
    # Two at a time, neighbours of different stages: harder than one, and half as long.
    half = len(running) // 2
    for pair in itertools.zip_longest(running[:half], running[half:]):
        flowing()
        kill(platform, filter(None, pair))
    flowing()
    balanced()


def test_all_data_outlives_the_containers_and_stages_start_in_order(platform: Containers) -> None:
    query = "select count(*) filter (where id <= {0}), max(model_version) from cargo_prediction"
    until = source_end(database_url("source")).last_id
    before = ask(database_url("target"), query.format(until))
    platform.down()
    with pytest.raises(psycopg2.OperationalError):
        ask(database_url("source"), "select 1")
    variables = {"OBJECT_STORE": store(), "DATA_GENERATE_RATE": RATE}
    for file in STAGES:
        Containers(REPOSITORY / file, NETWORK, variables).up()
    flowing()
    assert source_end(database_url("source")).last_id > until
    assert ask(database_url("target"), query.format(until)) >= before
    # The champion of before: nothing was trained anew.
    model = httpx.get(f"http://127.0.0.1:{port(8000)}/model", timeout=10).json()
    assert model["version"] == "1"
    balanced()


def test_make_knows_the_containers(platform: Containers) -> None:
    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run("make", *arguments, COMPOSE_PROJECT_NAME=NETWORK, CARGO_NETWORK=NETWORK)

    assert SOURCE_TOPIC in make("topics").stdout
    answer = make("up-nothing")
    assert answer.returncode != 0
    assert "no stage nothing" in answer.stderr
