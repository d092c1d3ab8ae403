"""The README's first command tells its story; what it says is asked of the databases, the registry and the API."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest

from common.names import CHAMPION, MODEL_NAME, PREVIOUS
from common.paths import REPOSITORY
from common.waiting import wait_until
from tests.timeouts import WAIT_TIMEOUT_S

PORT_OFFSET = 12500
API = f"http://127.0.0.1:{8000 + PORT_OFFSET}"
MLFLOW = f"http://127.0.0.1:{5001 + PORT_OFFSET}/api/2.0/mlflow"
TARGET = f"postgresql://targetuser:targetpassword@127.0.0.1:{5433 + PORT_OFFSET}/targetdatabase"

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    # Neither own images nor what another stack's tests set: a newcomer's settings.
    others = {"MONDAY_DIR", "TUESDAY_DIR", "MODEL_REGISTRY_ADAPT_CONFIRM_S"}
    kept = {name: value for name, value in os.environ.items() if name not in others}
    # Root's databases run as another user, who must reach their folder; pytest's own folders are private.
    state = Path("/tmp") / f"cargo-story-{os.getpid()}"
    return {**kept, "CARGO_PORT_OFFSET": str(PORT_OFFSET), "LOCAL_STACK_STATE_DIR": str(state)}


@pytest.fixture(scope="module")
def demo_output(environment: dict[str, str]) -> Iterator[str]:
    """What `make demo` printed; afterwards its stack is up again."""
    try:
        demo = run(environment, "make", "demo")
        stack = [sys.executable, "-m", "local_stack"]
        run(environment, *stack, "up")
        yield demo
    finally:
        run(environment, "make", "clean-local")
        shutil.rmtree(environment["LOCAL_STACK_STATE_DIR"], ignore_errors=True)


def run(environment: dict[str, str], *command: str) -> str:
    answer = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def train(environment: dict[str, str], strategy: str) -> str:
    """Train by hand on all that was inserted; the version that was registered."""
    command = [sys.executable, "-m", "model_registry.save_model_to_registry", "--strategy", strategy]
    before = max(map(int, versions()))
    run(environment, *command)
    (added,) = [version for version in versions() if int(version) > before]
    return added


def ask(query: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(TARGET)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()


def versions() -> dict[str, str]:
    """The run of each version in the registry."""
    found = httpx.get(f"{MLFLOW}/model-versions/search", params={"filter": f"name='{MODEL_NAME}'"}).raise_for_status()
    return {version["version"]: version["run_id"] for version in found.json()["model_versions"]}


def aliased(alias: str) -> str:
    found = httpx.get(f"{MLFLOW}/registered-models/alias", params={"name": MODEL_NAME, "alias": alias})
    return str(found.raise_for_status().json()["model_version"]["version"])


def held_out(version: str) -> dict[str, float]:
    """What the version's run logged about images that it was not trained on."""
    answer = httpx.get(f"{MLFLOW}/runs/get", params={"run_id": versions()[version]}).raise_for_status()
    return {metric["key"]: metric["value"] for metric in answer.json()["run"]["data"]["metrics"]}


def test_the_story_is_printed_and_no_row_is_lost(demo_output: str) -> None:
    for part in (
        "version 1 predicts tuesday for the first time",
        "drift noticed by confidence",
        "version 2 is promoted",
        "version 2 predicts monday for the first time",
        "has exactly one prediction or dead letter",
    ):
        assert part in demo_output


def test_one_thing_leads_to_the_next(demo_output: str) -> None:
    [(tuesday,)] = ask("select min(predicted_at) from cargo_prediction where dataset = 'tuesday'")
    [(alarm, images)] = ask(
        """
        select began_at, (
            select count(*) from cargo_prediction where dataset = 'tuesday'
                and (predicted_at, id) <= (select predicted_at, id from cargo_prediction where id = last_id)
        )
        from drift_alarm where detector = 'confidence' and model_version = '1'
        """
    )
    [(state, champion, challenger, began, finished)] = ask(
        "select state, champion_version, challenger_version, began_at, finished_at from adaptation"
    )
    assert (state, champion, challenger) == ("promoted", "1", "2")
    [(last_of_1, first_of_2)] = ask(
        """
        select
            max(predicted_at) filter (where model_version = '1'),
            min(predicted_at) filter (where model_version = '2')
        from cargo_prediction
        """
    )
    assert tuesday < alarm < began < finished
    assert last_of_1 < first_of_2, "a version came back, or two answered at once"
    assert images <= 80, "by then a window of 75 holds nothing else"


def test_the_model_is_mended_and_forgets_nothing(demo_output: str, environment: dict[str, str]) -> None:
    first, mended, everything = held_out("1"), held_out("2"), held_out(train(environment, "all"))
    assert first["test_accuracy"] >= 0.95
    assert first["test_accuracy_tuesday"] <= first["test_accuracy"] - 0.12
    gap = everything["test_accuracy_tuesday"] - first["test_accuracy_tuesday"]
    assert mended["test_accuracy_tuesday"] - first["test_accuracy_tuesday"] >= 0.9 * gap
    assert mended["test_accuracy"] >= first["test_accuracy"] - 0.02


def test_the_stream_is_predicted_well_again(demo_output: str) -> None:
    accuracy = dict(
        ask("select model_version || dataset, avg((target = label)::int)::float from cargo_prediction group by 1")
    )
    assert accuracy["1monday"] >= 0.95
    assert accuracy["1tuesday"] <= accuracy["1monday"] - 0.12
    assert accuracy["2tuesday"] >= accuracy["1tuesday"] + 0.1
    assert accuracy["2monday"] >= accuracy["1monday"] - 0.02


@pytest.mark.parametrize("version", ["1", "2"])
def test_any_version_is_rebuilt_from_its_record(demo_output: str, environment: dict[str, str], version: str) -> None:
    run(environment, "make", "reproduce", f"VERSION={version}")


def test_every_row_is_accounted_for_from_outside(demo_output: str, environment: dict[str, str]) -> None:
    assert "All is well" in run(environment, "make", "account")


def test_one_command_goes_back(demo_output: str, environment: dict[str, str]) -> None:
    assert (aliased(CHAMPION), aliased(PREVIOUS)) == ("2", "1")
    run(environment, "make", "rollback")
    assert (aliased(CHAMPION), aliased(PREVIOUS)) == ("1", "2")
    wait_until(lambda: httpx.get(f"{API}/model").json()["version"] == "1", "version 1 served", timeout_s=WAIT_TIMEOUT_S)
    assert "model-adapter" in run(environment, "make", "history")
