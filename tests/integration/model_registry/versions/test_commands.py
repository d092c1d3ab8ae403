"""The registry's commands on the running stack."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from PIL import Image
from typer.testing import CliRunner

from common.cli import UserError
from common.names import CHAMPION, PREVIOUS
from model_registry import load_model_from_registry, promote, reproduce, rollback, save_model_to_registry
from model_registry.versions.promotion import history, user_and_host
from model_registry.versions.registry_client import MANIFEST_ARTIFACT, Registry, connect, run_id_of
from tests.conftest import Stack
from tests.integration.model_registry.versions.conftest import Answer, command, refusal
from tests.timeouts import WAIT_TIMEOUT_S


@pytest.fixture
def own_images(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A table `cargo` and images of its own: two classes of ten pictures that all look the same."""
    schema = f"test_{uuid.uuid4().hex[:8]}"
    with stack.source() as connection, connection.cursor() as cursor:
        cursor.execute(f"create schema {schema}")
        cursor.execute(f"create table {schema}.cargo (like cargo including all)")
        for target, name in enumerate(("cats", "dogs")):
            (tmp_path / "monday" / name).mkdir(parents=True)
            for number in range(10):
                Image.new("RGB", (32, 32)).save(tmp_path / "monday" / name / f"{number}.png")
                row = (f"{name}/{number}.png", target)
                cursor.execute(f"insert into {schema}.cargo (image_path, target) values (%s, %s)", row)
        url = f"{stack.source_url}?options=-csearch_path%3D{schema}"
        monkeypatch.setenv("MODEL_REGISTRY_SOURCE_DATABASE_URL", url)
        monkeypatch.setenv("MODEL_REGISTRY_IMAGE_ROOT", str(tmp_path))
        yield tmp_path
        cursor.execute(f"drop schema {schema} cascade")


@pytest.fixture
def both_days(stack: Stack) -> Iterator[str]:
    """Address of a table `cargo` of its own, which holds the sample images of monday and of tuesday."""
    schema = f"test_{uuid.uuid4().hex[:8]}"
    with stack.source() as connection, connection.cursor() as cursor:
        cursor.execute(f"create schema {schema}")
        cursor.execute(f"create table {schema}.cargo (like cargo including all)")
        cursor.execute(
            f"insert into {schema}.cargo (dataset, image_path, target)"
            " select day, image_path, target from unnest(array['monday', 'tuesday']) day,"
            " (select distinct image_path, target from cargo where dataset = 'monday') images"
        )
        yield f"{stack.source_url}?options=-csearch_path%3D{schema}"
        cursor.execute(f"drop schema {schema} cascade")


def test_a_rehearsed_version_says_how_it_was_trained(
    registry: Registry, run_id: str, both_days: str, tmp_path: Path
) -> None:
    chosen = ("--strategy", "balanced_margin", "--budget", "0.1", "--seed", "3")
    answer = command(
        *("save_model_to_registry", "--model-name", registry.model_name, *chosen),
        MODEL_REGISTRY_SOURCE_DATABASE_URL=both_days,
    )
    assert answer.returncode == 0, answer.stderr
    rehearsed = registry.client.get_model_version(registry.model_name, "2")
    run, before = (registry.client.get_run(each) for each in (run_id_of(rehearsed), run_id))
    assert run.data.params["strategy"] == "balanced_margin"
    assert run.data.params["budget"] == "0.1"
    assert before.data.params["strategy"] == "monday"
    rows = registry.manifest(rehearsed, tmp_path)
    monday = [row for row in rows if row.dataset == "monday"]
    pool = [row for row in monday if row.split != "test"]
    assert sum(row.split == "train" for row in pool) == round(0.1 * len(pool))
    assert {row.split for row in rows if row.dataset == "tuesday"} == {"train", "test"}
    assert run.data.metrics["test_accuracy_tuesday"] > before.data.metrics["test_accuracy_tuesday"]
    champion = registry.champion()
    assert champion is not None
    assert champion.run_id == run_id, "only the first version becomes the champion by itself"
    named = ("--model-name", registry.model_name, "--run-id", run_id_of(rehearsed))
    again = CliRunner().invoke(load_model_from_registry.app, named)
    assert again.exit_code == 0, again.exception
    assert repr(run.data.metrics["test_accuracy_tuesday"]) in again.stdout


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_version_is_rebuilt_without_the_database(registry: Registry, run_id: str, version: str) -> None:
    """The second one is that of the test before."""
    answer = command(
        *("reproduce", "--model-name", registry.model_name, "--version", version),
        MODEL_REGISTRY_SOURCE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing",
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"version {version} of {registry.model_name} is reproduced" in answer.stdout
    assert " NO " not in answer.stdout


def test_a_record_that_is_not_true_is_an_exit_code(stack: Stack, registry: Registry, run_id: str) -> None:
    """A copy of the first version, whose run claims another accuracy."""
    first = registry.by_number("1")
    run = registry.client.get_run(run_id)
    with mlflow.start_run() as active:
        mlflow.log_params(run.data.params)
        mlflow.log_metrics(run.data.metrics | {"test_accuracy": 0.5})
        mlflow.log_text(
            Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{MANIFEST_ARTIFACT}")).read_text(),
            MANIFEST_ARTIFACT,
        )
    name = f"{registry.model_name}_copy"
    registry.client.create_registered_model(name)
    assert first.source
    model_id = first.source.removeprefix("models:/")
    registry.client.create_model_version(name, first.source, active.info.run_id, model_id=model_id)
    answer = CliRunner().invoke(reproduce.app, ["--model-name", name, "--version", "1"])
    assert isinstance(answer.exception, UserError), answer.exception
    assert str(answer.exception).endswith("is not reproduced: metrics differ from its record")


def test_promotion_rollback_and_history_are_commands(registry: Registry, run_id: str) -> None:
    """Of the two versions that the tests before registered, the first one serves."""
    named = ("--model-name", registry.model_name)
    assert "no version 99" in refusal(promote.app, *named, "--version", "99", "--reason", "typing error")
    assert "no previous champion" in refusal(rollback.app, *named)
    answer = command("promote", *named, "--version", "2", "--reason", "better on tuesday", "--who", "ann@host")
    assert answer.returncode == 0, answer.stderr
    assert [registry.by_alias(alias).version for alias in (CHAMPION, PREVIOUS)] == ["2", "1"]
    again = CliRunner().invoke(promote.app, [*named, "--version", "2", "--reason", "better on tuesday"])
    assert again.exit_code == 0, again.exception
    back = command("rollback", *named, "--reason", "slower")
    assert back.returncode == 0, back.stderr
    assert "version 1 is the champion again" in back.stdout
    assert [registry.by_alias(alias).version for alias in (CHAMPION, PREVIOUS)] == ["1", "2"]
    first, second, third = history(registry)
    assert [(each.from_version, each.to_version) for each in (second, third)] == [("1", "2"), ("2", "1")]
    assert (second.who, second.why, third.why) == ("ann@host", "better on tuesday", "slower")
    assert third.who == user_and_host()
    assert first.when < second.when < third.when
    shown = command("history", *named, COLUMNS="200")
    assert shown.returncode == 0, shown.stderr
    assert re.findall("first version|better on tuesday|slower", shown.stdout) == [
        "first version",
        "better on tuesday",
        "slower",
    ]


def test_a_comparison_is_one_run(registry: Registry, tmp_path: Path) -> None:
    page = tmp_path / "strategies.md"
    answer = command("compare_strategies", "--splits", "2", "--budget", "0.1", "--output", str(page))
    assert answer.returncode == 0, answer.stderr
    found = re.search(r"^logged: run ([0-9a-f]{32})", answer.stdout, re.MULTILINE)
    assert found, answer.stdout
    run = registry.client.get_run(found.group(1))
    assert run.data.params["splits"] == "2"
    assert {"all_mean", "random_10_tuesday", "herding_10_forgetting"} <= set(run.data.metrics)
    artifacts = {entry.path for entry in registry.client.list_artifacts(run.info.run_id)}
    assert artifacts == {"strategies.md", "strategies.png", "strategies.csv", "verdict.json"}


# MLflow warns of its own signatures when it first writes a model.
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")
def test_a_version_below_the_minimum_does_not_serve(stack: Stack, saved: Answer, own_images: Path) -> None:
    name = f"registry_test_{uuid.uuid4().hex[:8]}"
    assert "0.5000 is below 0.8" in refusal(save_model_to_registry.app, "--model-name", name)
    registry = connect(stack.mlflow_uri, name, timeout_s=WAIT_TIMEOUT_S)
    assert registry.champion() is None
    (version,) = registry.client.search_model_versions(f"name='{name}'")
    message = refusal(load_model_from_registry.app, "--model-name", name, "--alias", CHAMPION)
    assert run_id_of(version) in message


def test_an_unreadable_image_is_named(saved: Answer, own_images: Path) -> None:
    damaged = own_images / "monday/dogs/7.png"
    damaged.write_bytes(b"no picture")
    assert str(damaged) in refusal(save_model_to_registry.app)


def test_a_killed_server_leaves_its_port_and_comes_back(stack: Stack, registry: Registry, run_id: str) -> None:
    stack.kill("mlflow-server")
    stack.wait_ready("mlflow-server")
    champion = registry.champion()
    assert champion is not None
    assert champion.run_id == run_id
