"""Puts a trained graph into the registry as a new version: one run with its figures and artifacts."""

import tempfile
from collections.abc import Sequence
from importlib.metadata import version as package_version
from typing import Any

import mlflow
import numpy as np
import onnx
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from common.names import EXPERIMENT, MODEL_NAME
from common.pictures.embeddings import EMBEDDING_SIZE
from common.pictures.images import INPUT_SIDE
from model_registry.data.dataset import manifest_text
from model_registry.training.head import classes_of
from model_registry.training.training import TrainedModel
from model_registry.versions.registry_client import MANIFEST_ARTIFACT, Registry


def signature(classes: int) -> ModelSignature:
    """What goes in and comes out, for MLflow."""
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, INPUT_SIDE, INPUT_SIDE, 3), "image")]),
        outputs=Schema(
            [
                TensorSpec(np.dtype(np.float32), (-1, width), name)
                for name, width in (("probabilities", classes), ("embedding", EMBEDDING_SIZE))
            ]
        ),
    )


def _storage(classes: Sequence[str]) -> dict[str, Any]:
    """How MLflow shall store a graph."""
    return {
        "signature": signature(len(classes)),
        # One file: the graph is far below the size that needs its weights beside it.
        "save_as_external_data": False,
        "onnx_execution_providers": ["CPUExecutionProvider"],
        # Named here, because finding them out takes MLflow longer than the training.
        "pip_requirements": [f"{name}=={package_version(name)}" for name in ("numpy", "onnx", "onnxruntime")],
    }


def warm_up_mlflow(model: onnx.ModelProto) -> None:
    """Store `model` in a folder that is thrown away: what a process's first time costs is paid before it counts.

    MLflow compares all packages that are installed, once a process, which takes longer than to register.
    """
    with tempfile.TemporaryDirectory() as scratch:
        mlflow.onnx.save_model(model, f"{scratch}/model", **_storage(classes_of(model)))


def register(registry: Registry, trained: TrainedModel) -> ModelVersion:
    """Log one run with its figures and artifacts, and register its graph as a new version."""
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run() as active:
        mlflow.log_params(trained.parameters)
        mlflow.log_metrics(trained.metrics)
        mlflow.log_dict({"classes": trained.classes}, "classes.json")
        mlflow.log_text(manifest_text(trained.manifest), MANIFEST_ARTIFACT)
        mlflow.log_figure(trained.clean.confusion_matrix(trained.classes), "confusion_matrix.png")
        info = mlflow.onnx.log_model(
            trained.model,
            name=MODEL_NAME,
            registered_model_name=registry.model_name,
            **_storage(trained.classes),
        )
        version = registry.client.get_model_version(registry.model_name, str(info.registered_model_version))
        mlflow.set_tag("registered_version", version.version)
    assert version.run_id == active.info.run_id  # noqa: S101 - MLflow's contract
    return version
