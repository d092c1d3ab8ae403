"""The trainable part: a linear classifier on embeddings, and its fusion with the backbone into one ONNX graph."""

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from model_registry.drift_projection import FEATURES, Projection
from model_registry.weights import FloatArray

REGULARISATION = 0.1
"""scikit-learn's C. On 1280 standardised features 0.01 to 1 are equally accurate; 0.1 is well calibrated too."""

MAX_ITERATIONS = 2000


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


def export(
    backbone: onnx.ModelProto, head: Pipeline, projection: Projection, classes: Sequence[str]
) -> onnx.ModelProto:
    """One graph: `image` uint8 [N, 224, 224, 3] to three outputs, all float32.

    `probabilities` [N, C], `embedding` [N, 1280], and the embedding's projection `drift_features` [N, 32]. The class
    names travel with it, as JSON in `metadata_props["classes"]`.
    """
    weights, biases = linear_layer(head)
    model = onnx.ModelProto()
    model.CopyFrom(backbone)
    graph = model.graph
    graph.initializer.extend(
        numpy_helper.from_array(value, name)
        for name, value in (
            ("head.weights", weights),
            ("head.biases", biases),
            ("drift.weights", projection.weights),
            ("drift.biases", projection.biases),
        )
    )
    logits = helper.make_node("Gemm", ["embedding", "head.weights", "head.biases"], ["logits"], "logits", transB=1)
    softmax = helper.make_node("Softmax", ["logits"], ["probabilities"], "probabilities", axis=1)
    drift = helper.make_node(
        "Gemm", ["embedding", "drift.weights", "drift.biases"], ["drift_features"], "drift_features", transB=1
    )
    graph.node.extend([logits, softmax, drift])
    embedding = graph.output.pop()
    probabilities, features = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
        for name, width in (("probabilities", len(classes)), ("drift_features", FEATURES))
    )
    graph.output.extend([probabilities, embedding, features])
    helper.set_model_props(model, {"classes": json.dumps(list(classes))})
    onnx.checker.check_model(model, full_check=True)
    return model


def classes_of(model: onnx.ModelProto) -> list[str]:
    """The class names that `export` stored."""
    properties = {entry.key: entry.value for entry in model.metadata_props}
    names: list[str] = json.loads(properties["classes"])
    return names
