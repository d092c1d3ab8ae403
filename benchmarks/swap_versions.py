"""Versions of the champion with slightly other answers, as a registered model of their own."""

import json
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import onnx
from mlflow import MlflowClient, set_tracking_uri
from onnx import helper, numpy_helper

from api_serving.models.classifier import load_classifier
from api_serving.models.registry_client import ModelNotRegistered, Registry, RegistryUnavailable
from common.cli import UserError
from common.names import CHAMPION, MODEL_NAME

COUNT = 3
"""The API keeps two on disk: with three in turn each swap downloads."""


class Versions:
    """Registers them at the beginning of `with`, the first as champion; deletes the model at the end."""

    def __init__(self, uri: str, name: str, scratch: Path) -> None:
        self._uri, self._name, self._scratch = uri, name, scratch
        self.numbers: list[str] = []

    def __enter__(self) -> Self:
        file = self._champion()
        set_tracking_uri(self._uri)
        self._client = MlflowClient(self._uri, self._uri)
        self._client.create_registered_model(self._name)
        self._experiment = self._client.create_experiment(self._name)
        self.numbers = [self._register(file, shift=0.5 * number) for number in range(COUNT)]
        self.promote(self.numbers[0])
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.delete_registered_model(self._name)
        self._client.delete_experiment(self._experiment)

    def promote(self, version: str) -> None:
        self._client.set_registered_model_alias(self._name, CHAMPION, version)

    def _champion(self) -> Path:
        registry = Registry(self._uri, timeout_s=30)
        try:
            file, _, _ = registry.download(registry.by_alias(MODEL_NAME, CHAMPION), self._scratch, threads=1)
        except (RegistryUnavailable, ModelNotRegistered) as error:
            raise UserError(f"{error}. Start the stack with `make up-local`.") from error
        return file

    def _register(self, file: Path, shift: float) -> str:
        """The graph with the first class `shift` more likely, in log-odds, and with a self-test that says so."""
        model = onnx.load(str(file))
        [biases] = [each for each in model.graph.initializer if each.name == "head.biases"]
        values = numpy_helper.to_array(biases).copy()
        values[0] += shift
        biases.CopyFrom(numpy_helper.from_array(values, biases.name))
        properties = {entry.key: entry.value for entry in model.metadata_props if entry.key != "self_test"}
        with tempfile.TemporaryDirectory() as folder:
            changed = Path(folder) / "model.onnx"
            helper.set_model_props(model, properties)
            onnx.save(model, str(changed))
            noise = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
            answers = load_classifier(changed, threads=1).probabilities(noise).tolist()
            test = json.dumps({"seed": 0, "images": 2, "probabilities": answers})
            helper.set_model_props(model, {**properties, "self_test": test})
            onnx.save(model, str(changed))
            run = self._client.create_run(self._experiment).info.run_id
            self._client.log_artifact(run, str(changed), "model")
        return str(self._client.create_model_version(self._name, f"runs:/{run}/model", run).version)
