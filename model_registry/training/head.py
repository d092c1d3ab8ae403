"""The trainable part: a linear classifier on embeddings, and its fusion with the backbone into one ONNX graph."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from common.pictures.embeddings import FloatArray
from model_registry.network.backbone import PRECISION, network_sha256

REGULARISATION = 0.1
"""scikit-learn's C. On 1280 standardised features 0.01 to 1 are equally accurate; 0.1 is well calibrated too."""

MAX_ITERATIONS = 2000

WEIGHTS, BIASES = "head.weights", "head.biases"


def fit_head(embeddings: FloatArray, targets: Sequence[int] | npt.NDArray[np.int64]) -> Pipeline:
    """Fit on float32 [N, 1280] and class indices 0..C-1, each present."""
    head = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=MAX_ITERATIONS))
    # Threads of such small products wait for each other: ten times as long on a machine that has other work.
    with threadpool_limits(1):
        return head.fit(embeddings, targets)


def linear_layer(head: Pipeline) -> tuple[FloatArray, FloatArray]:
    """Weights (C, 1280) and biases (C) whose softmax is what `head` predicts from raw embeddings."""
    scaler, regression = head[0], head[1]
    weights = regression.coef_ / scaler.scale_
    biases = regression.intercept_ - weights @ scaler.mean_
    if len(regression.classes_) == 2:
        # Of two classes scikit-learn keeps one row, the second's log-odds: the first one's are 0.
        weights, biases = np.vstack([np.zeros_like(weights), weights]), np.concatenate([[0.0], biases])
    return weights.astype(np.float32), biases.astype(np.float32)


def margins(head: Pipeline, embeddings: FloatArray, targets: npt.NDArray[np.int64]) -> FloatArray:
    """By how much each row's own class leads the best other one, in log-odds [N]; negative where `head` is wrong."""
    weights, biases = linear_layer(head)
    scores = embeddings @ weights.T + biases
    own = scores[np.arange(len(targets)), targets]
    scores[np.arange(len(targets)), targets] = -np.inf
    lead: FloatArray = own - scores.max(axis=1)
    return lead


def export(backbone: onnx.ModelProto, head: Pipeline, classes: Sequence[str]) -> onnx.ModelProto:
    """One graph: `image` uint8 [N, 224, 224, 3] to `probabilities` [N, C] and `embedding` [N, 1280], both float32.

    As JSON in `metadata_props` it carries the class names, `classes`, and what makes its embeddings, `embedding`.
    """
    weights, biases = linear_layer(head)
    model = onnx.ModelProto()
    model.CopyFrom(backbone)
    graph = model.graph
    graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in ((WEIGHTS, weights), (BIASES, biases))
    )
    logits = helper.make_node("Gemm", ["embedding", WEIGHTS, BIASES], ["logits"], "logits", transB=1)
    softmax = helper.make_node("Softmax", ["logits"], ["probabilities"], "probabilities", axis=1)
    graph.node.extend([logits, softmax])
    embedding = graph.output.pop()
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(classes)])
    graph.output.extend([probabilities, embedding])
    properties = {"classes": list(classes), "embedding": own_embedding()}
    helper.set_model_props(model, {key: json.dumps(value) for key, value in properties.items()})
    onnx.checker.check_model(model, full_check=True)
    return model


def own_embedding() -> dict[str, str]:
    """What makes the embeddings of the graphs that are trained here."""
    return {"backbone": network_sha256(), "precision": PRECISION}


def classes_of(model: onnx.ModelProto) -> list[str]:
    """The class names that `export` stored."""
    names: list[str] = metadata(model)["classes"]
    return names


def metadata(model: onnx.ModelProto) -> dict[str, Any]:
    """What `model` carries about itself, by key."""
    return {entry.key: json.loads(entry.value) for entry in model.metadata_props}


def supports_embeddings(model: onnx.ModelProto) -> bool:
    """Whether `head_probabilities` knows what `model` answers: older graphs do not say what makes their embeddings."""
    return metadata(model).get("embedding") == own_embedding()


def head_probabilities(model: onnx.ModelProto, embeddings: FloatArray) -> FloatArray:
    """What `model` answers for pictures with these embeddings, float32 [N, C], by its own last layer."""
    constants = {each.name: each for each in model.graph.initializer}
    weights, biases = (numpy_helper.to_array(constants[name]) for name in (WEIGHTS, BIASES))
    scores = embeddings @ weights.T + biases
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
