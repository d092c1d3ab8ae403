"""What a graph carries about itself in its metadata, for those who serve it and watch it; api_serving reads it."""

import json
from typing import Any

import numpy as np
import onnx

from common.pictures.embeddings import PROJECTION, FloatArray, project
from common.pictures.images import INPUT_SIDE
from model_registry.network.embedding_source import cpu_session
from model_registry.training.evaluation import Evaluation

SELF_TEST_SEED = 0
SELF_TEST_IMAGES = 2

REFERENCE_IMAGES = 400
"""At most; more would make the file larger and the statistics hardly better."""


def describe(model: onnx.ModelProto, dataset: str, held_out: Evaluation, embeddings: FloatArray) -> None:
    """Store in `model` what it answers to pictures that anyone can make again, and on held-out images of `dataset`.

    `embeddings` are those of the held-out images, float32 [N, 1280].
    """
    _store(model, "self_test", self_test(model))
    _store(model, "drift_reference", drift_reference(dataset, held_out, embeddings))


def self_test(model: onnx.ModelProto) -> dict[str, Any]:
    """The probabilities that `model` gives to random pictures: a copy that gives others is not this model."""
    shape = (SELF_TEST_IMAGES, INPUT_SIDE, INPUT_SIDE, 3)
    pictures = np.random.default_rng(SELF_TEST_SEED).integers(0, 256, shape, dtype=np.uint8)
    (probabilities,) = cpu_session(model).run(["probabilities"], {"image": pictures})
    return {"seed": SELF_TEST_SEED, "images": SELF_TEST_IMAGES, "probabilities": probabilities.tolist()}


def drift_reference(dataset: str, held_out: Evaluation, embeddings: FloatArray) -> dict[str, Any]:
    """What answers look like while nothing drifts: confidences and features, an image each, and the accuracy.

    Of more than `REFERENCE_IMAGES` images so many are taken at even distances, so that each class keeps its share; the
    accuracy is that of all of them.
    """
    count = len(held_out.targets)
    kept = np.linspace(0, count - 1, min(count, REFERENCE_IMAGES)).round().astype(np.intp)
    return {
        "dataset": dataset,
        "accuracy": held_out.accuracy,
        "confidences": held_out.probabilities[kept].max(axis=1).astype(np.float64).round(6).tolist(),
        "features": project(embeddings[kept]).astype(np.float64).round(5).tolist(),
        "projection": PROJECTION,
    }


def _store(model: onnx.ModelProto, key: str, value: dict[str, Any]) -> None:
    model.metadata_props.add(key=key, value=json.dumps(value))
