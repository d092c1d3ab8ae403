"""The API follows an alias of the real registry, and answers whatever happens to registry, store and versions."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import mlflow
import pytest
from mlflow import MlflowClient

from common.names import CHAMPION
from common.waiting import wait_until
from tests.api_serving import tiny_model
from tests.api_serving.conftest import encode
from tests.api_serving.process import api_process, is_ready
from tests.conftest import Stack

PICTURE = encode("red", "PNG")


class Versions:
    """A registered model of its own, whose versions are tiny graphs, so that the stack's champion is left alone."""

    def __init__(self, uri: str, scratch: Path) -> None:
        self.name = f"hot_swap_test_{uuid.uuid4().hex[:8]}"
        self._client = MlflowClient(uri, uri)
        self._client.create_registered_model(self.name)
        self._experiment = self._client.create_experiment(self.name)
        self._scratch = scratch

    def add(self, classes: list[str] | None = None, keep_bytes: int | None = None) -> str:
        """Register the next version, with its file cut after `keep_bytes`; its number."""
        run = self._client.create_run(self._experiment)
        file = tiny_model.build(self._scratch / "model.onnx", classes or tiny_model.CLASSES)
        file.write_bytes(file.read_bytes()[:keep_bytes])
        self._client.log_metric(run.info.run_id, "test_accuracy", 0.5)
        self._client.log_artifact(run.info.run_id, str(file), "model")
        source = f"runs:/{run.info.run_id}/model"
        return str(self._client.create_model_version(self.name, source, run.info.run_id).version)

    def promote(self, version: str) -> None:
        self._client.set_registered_model_alias(self.name, CHAMPION, version)

    def delete_alias(self) -> None:
        self._client.delete_registered_model_alias(self.name, CHAMPION)

    def delete(self, version: str) -> None:
        self._client.delete_model_version(self.name, version)


class Api:
    def __init__(self, address: str) -> None:
        self.address = address
        self._client = httpx.Client(base_url=address, timeout=20, trust_env=False)

    def ready(self) -> bool:
        return is_ready(self.address)

    def answers(self, version: str, note: str | None) -> bool:
        """Whether this version predicts, with these words in the note."""
        ready, model = self._client.get("/readyz"), self._client.get("/model").json()
        assert ready.status_code == 200, ready.text
        predicted = self._client.post("/predict/upload", content=PICTURE, headers={"Content-Type": "image/png"}).json()
        told = model["note"] is None if note is None else note in (model["note"] or "")
        return told and {model["version"], predicted["model_version"]} == {version}

    def wait_for(self, version: str, note: str | None = None) -> None:
        wait_until(lambda: self.answers(version, note), f"version {version} answers, note {note}", 60)


@pytest.fixture(scope="module")
def versions(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Versions:
    stack.wait_ready("mlflow-server")
    mlflow.set_tracking_uri(stack.mlflow_uri)
    return Versions(stack.mlflow_uri, tmp_path_factory.mktemp("versions"))


@pytest.fixture(scope="module")
def environment(stack: Stack, versions: Versions, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    settings = {
        "MLFLOW_TRACKING_URI": stack.mlflow_uri,
        "MODEL_NAME": versions.name,
        "MODEL_DIR": str(tmp_path_factory.mktemp("models")),
        "POLL_S": "0.2",
        "REGISTRY_TIMEOUT_S": "5",
        "FALLBACK_AFTER_S": "0",
        "WORKERS": "2",
    }
    return {**os.environ, **{f"API_SERVING_{name}": value for name, value in settings.items()}}


@pytest.fixture(scope="module")
def first(versions: Versions) -> str:
    version = versions.add()
    versions.promote(version)
    return version


@pytest.fixture(scope="module")
def api(environment: dict[str, str], first: str) -> Iterator[Api]:
    with api_process("api_serving.app:app", ".", environment, subprocess.DEVNULL) as (_, address):
        api = Api(address)
        wait_until(api.ready, f"the API serves version {first}", 60)
        yield api


@pytest.fixture
def good(versions: Versions, api: Api) -> str:
    """A version that answers now."""
    version = versions.add()
    versions.promote(version)
    api.wait_for(version)
    return version


def test_the_alias_moves_on_and_back(versions: Versions, api: Api, good: str) -> None:
    newer = versions.add()
    for version in (newer, good, newer):
        versions.promote(version)
        api.wait_for(version)


def test_an_alias_to_nothing(versions: Versions, api: Api, good: str) -> None:
    versions.delete_alias()
    api.wait_for(good, "has no model")
    versions.promote(good)
    api.wait_for(good)


def test_a_truncated_version(versions: Versions, api: Api, good: str) -> None:
    broken = versions.add(keep_bytes=1000)
    versions.promote(broken)
    api.wait_for(good, f"version {broken} of {versions.name} cannot be served: onnxruntime cannot load it")
    newer = versions.add()
    versions.promote(newer)
    api.wait_for(newer)


def test_other_classes(versions: Versions, api: Api, good: str) -> None:
    versions.promote(versions.add(classes=["red", "green", "blue"]))
    api.wait_for(good, "Restart the API to take it over on purpose")


def test_the_served_version_is_deleted(versions: Versions, api: Api, good: str) -> None:
    versions.delete(good)
    api.wait_for(good, "has no model")


def test_mlflow_goes_away_and_comes_back(versions: Versions, api: Api, good: str, stack: Stack) -> None:
    newer = versions.add()
    stack.stop("mlflow-server")
    try:
        api.wait_for(good, "cannot be reached")
    finally:
        stack.start("mlflow-server")
        stack.wait_ready("mlflow-server")
    api.wait_for(good)
    versions.promote(newer)
    api.wait_for(newer)


def test_the_object_store_goes_away_and_comes_back(versions: Versions, api: Api, good: str, stack: Stack) -> None:
    newer = versions.add()
    stack.stop("object-store")
    try:
        versions.promote(newer)
        api.wait_for(good, f"version {newer} of {versions.name} cannot be fetched")
    finally:
        stack.start("object-store")
        stack.wait_ready("object-store")
    api.wait_for(newer)


def test_a_restart_without_the_registry_serves_the_last_good_version(
    versions: Versions, api: Api, good: str, stack: Stack, environment: dict[str, str]
) -> None:
    stack.stop("mlflow-server")
    try:
        with api_process("api_serving.app:app", ".", environment, subprocess.DEVNULL) as (_, address):
            restarted = Api(address)
            wait_until(restarted.ready, "the restarted API answers", 60)
            restarted.wait_for(good, "last downloaded copy")
    finally:
        stack.start("mlflow-server")
        stack.wait_ready("mlflow-server")
