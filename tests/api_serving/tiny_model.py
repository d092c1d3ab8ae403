"""A real ONNX classifier of the agreed form that is small enough to build in a test: softmax over the mean colour."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from api_serving.models.model_cache import write_model
from api_serving.models.model_metadata import ModelInfo

CLASSES = ["blue", "green", "red"]
ORIGIN = {"backbone": "mean colour", "precision": "float32"}


def build(
    file: Path,
    classes: object = CLASSES,
    outputs: int = 3,
    probabilities: str = "probabilities",
    activation: str = "Softmax",
    batch: str | int = "N",
    embedding: float | None = None,
    embedding_rank: int = 2,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write the classifier to `file`; class 0 is the bluest picture. The parameters make broken ones.

    With `embedding` it says what its embeddings are: 1280 numbers a picture, all of that value.
    """
    weights = np.zeros((3, outputs), np.float32)
    for index in range(min(3, outputs)):
        weights[2 - index, index] = 0.1
    shape = [batch, 224, 224, 3]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["colour"], keepdims=0),
        helper.make_node("MatMul", ["colour", "weights"], ["scores"]),
        helper.make_node(activation, ["scores"], [probabilities]),
        helper.make_node("MatMul", ["colour", "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "value"], ["embedding"]),
    ]
    answers = [
        helper.make_tensor_value_info(probabilities, TensorProto.FLOAT, [batch, outputs]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, None),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.zeros((3, 1280), np.float32), "nothing"),
        numpy_helper.from_array(np.full((1,) * embedding_rank, embedding or 0, np.float32), "value"),
    ]
    images = helper.make_tensor_value_info("image", TensorProto.UINT8, shape)
    graph = helper.make_graph(nodes, "tiny", [images], answers, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    properties = {} if embedding is None else {"embedding": json.dumps(ORIGIN)}
    properties |= metadata or {}
    if classes is not None:
        properties["classes"] = classes if isinstance(classes, str) else json.dumps(classes)
    helper.set_model_props(model, properties)
    onnx.save(model, str(file))
    return file


def info_for(file: Path, version: str = "1", run_id: str = "run-1") -> ModelInfo:
    """Facts that fit `file`."""
    return ModelInfo(
        name="sk_model",
        version=version,
        run_id=run_id,
        classes=tuple(CLASSES),
        metrics={"test_accuracy": 0.5},
        registry="http://127.0.0.1:1",
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
    )


def install(folder: Path, scratch: Path, version: str = "1", **parameters: Any) -> None:
    """Put a fresh model where the API looks for it, as `download_model.py` does."""
    file = build(scratch / "built.onnx", **parameters)
    write_model(folder, file, info_for(file, version))
