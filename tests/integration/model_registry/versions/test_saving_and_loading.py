"""Versions that are trained, registered and loaded back; other files may have registered more of them before."""

import re
from pathlib import Path

import mlflow
import pytest
from typer.testing import CliRunner

from common.names import CHAMPION
from common.pictures.images import INPUT_SIDE
from model_registry import load_model_from_registry, save_model_to_registry
from model_registry.versions.promotion import history
from model_registry.versions.registry_client import MANIFEST_ARTIFACT, Registry
from tests.conftest import Stack
from tests.integration.model_registry.test_object_store import client as object_store_client
from tests.integration.model_registry.versions.conftest import Answer, command, refusal


def test_the_first_version_that_passes_is_the_champion(registry: Registry, run_id: str) -> None:
    champion = registry.champion()
    assert champion is not None
    assert (champion.run_id, str(champion.version)) == (run_id, "1")
    event = history(registry)[0]
    assert (event.who, event.why) == ("save_model_to_registry", "first version")
    assert (event.from_version, event.to_version) == (None, "1")


def test_loading_back_reproduces_the_accuracy_exactly(registry: Registry, run_id: str) -> None:
    logged = registry.client.get_run(run_id).data.metrics["test_accuracy"]
    assert 0.8 <= logged <= 1
    named = ("--model-name", registry.model_name)
    answer = command("load_model_from_registry", *named, "--run-id", run_id)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count(repr(logged)) == 2
    by_alias = CliRunner().invoke(load_model_from_registry.app, [*named, "--alias", CHAMPION])
    assert by_alias.exit_code == 0, by_alias.exception
    assert by_alias.stdout.count(repr(logged)) == 2


def test_the_run_says_what_the_model_is_made_of(registry: Registry, run_id: str) -> None:
    run = registry.client.get_run(run_id)
    parameters = run.data.params
    assert parameters["seed"] == "3"
    assert re.fullmatch("[0-9a-f]{64}", parameters["data_manifest_sha256"])
    assert parameters["backbone_sha256"].startswith("57934424")
    assert re.fullmatch("([0-9a-f]{40}(-dirty)?|unknown)", parameters["code_commit"])
    classes = parameters["classes"].split(", ")
    recalls = [name for name in run.data.metrics if name.startswith("test_recall_")]
    assert len(recalls) == len(classes)
    assert {"test_macro_f1", "test_accuracy_tuesday"} <= set(run.data.metrics)
    artifacts = {entry.path for entry in registry.client.list_artifacts(run_id)}
    assert artifacts >= {MANIFEST_ARTIFACT, "classes.json", "confusion_matrix.png"}
    info = mlflow.models.get_model_info(f"models:/{registry.model_name}@{CHAMPION}")
    assert info.signature is not None
    assert info.signature.inputs.inputs[0].shape == (-1, INPUT_SIDE, INPUT_SIDE, 3)
    assert {output.name for output in info.signature.outputs.inputs} == {"probabilities", "embedding"}


def test_a_fifth_of_the_images_is_held_out(registry: Registry, run_id: str, tmp_path: Path) -> None:
    champion = registry.champion()
    assert champion is not None
    rows = registry.manifest(champion, tmp_path)
    held_out = [row for row in rows if row.split == "test"]
    assert 0.17 <= len(held_out) / len(rows) <= 0.23
    assert len({row.image_path for row in rows}) == len(rows)


def test_artifacts_go_through_the_server(stack: Stack, registry: Registry, run_id: str) -> None:
    """No client here holds keys; yet the bytes lie in the object store."""
    assert registry.client.get_run(run_id).info.artifact_uri.startswith("mlflow-artifacts:/")
    keys = object_store_client(stack.s3_endpoint).get_paginator("list_objects_v2").paginate(Bucket="mlflow")
    names = [entry["Key"] for page in keys for entry in page.get("Contents", [])]
    assert any(f"{run_id}/artifacts/{MANIFEST_ARTIFACT}" in name for name in names)


def test_with_a_champion_if_missing_does_nothing(registry: Registry, run_id: str) -> None:
    versions = f"name='{registry.model_name}'"
    before = registry.client.search_model_versions(versions)
    answer = command("save_model_to_registry", "--model-name", registry.model_name, "--if-missing")
    assert answer.returncode == 0, answer.stderr
    assert run_id in answer.stdout
    after = registry.client.search_model_versions(versions)
    assert [version.version for version in after] == [version.version for version in before]


@pytest.mark.parametrize(
    "choice", [("--run-id", "0" * 32), ("--run-id", "x'; drop"), ("--alias", "nobody"), ("--alias", "../x")]
)
def test_what_is_not_there_is_named(registry: Registry, run_id: str, choice: tuple[str, str]) -> None:
    message = refusal(load_model_from_registry.app, "--model-name", registry.model_name, *choice)
    assert choice[1] in message
    assert run_id in message, "the message offers what there is"


def test_a_refusal_is_one_line_and_an_exit_code(registry: Registry) -> None:
    answer = command("load_model_from_registry", "--model-name", registry.model_name, "--run-id", "nobody")
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: there is no run 'nobody'")
    assert len(answer.stderr.splitlines()) == 1


def test_a_changed_image_is_named(
    stack: Stack, registry: Registry, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = registry.champion()
    assert champion is not None
    held_out = [row for row in registry.manifest(champion, tmp_path) if row.split == "test"]
    root = tmp_path / "images"
    for row in held_out:
        file = root / row.dataset / row.image_path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(stack.image_root / row.dataset / row.image_path)
    monkeypatch.setenv("MODEL_REGISTRY_IMAGE_ROOT", str(root))
    choice = ("--model-name", registry.model_name, "--run-id", run_id)
    assert CliRunner().invoke(load_model_from_registry.app, choice).exit_code == 0
    changed = root / held_out[-1].dataset / held_out[-1].image_path
    content = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(content + b"\0")
    message = refusal(load_model_from_registry.app, *choice)
    assert held_out[-1].image_path in message
    assert f"1 of {len(held_out)}" in message


def test_missing_images_are_named(saved: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_IMAGE_ROOT", str(tmp_path))
    message = refusal(save_model_to_registry.app)
    assert "MODEL_REGISTRY_IMAGE_ROOT" in message
    assert str(tmp_path / "monday") in message
