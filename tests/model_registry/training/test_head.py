import hashlib
import json

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

import common.pictures.embeddings
from common.pictures.embeddings import as_stored
from model_registry.network.embedding_source import cpu_session, embedding_method
from model_registry.training.evaluation import CLOSE
from model_registry.training.head import classes_of, export, fit_head, head_probabilities, metadata, supports_embeddings


@pytest.mark.parametrize("count", [2, 3, 5])
def test_graph_gives_what_scikit_learn_gives(
    backbone: onnx.ModelProto,
    session: onnxruntime.InferenceSession,
    pictures: npt.NDArray[np.uint8],
    count: int,
) -> None:
    (embeddings,) = session.run(None, {"image": pictures})
    noise = np.random.default_rng(1).normal(scale=0.3, size=(30, embeddings.shape[1]))
    training = (np.tile(embeddings, (6, 1)) + noise).astype(np.float32)
    training[:, 5] = 0.25  # A feature that never varies must not divide by zero.
    head = fit_head(training, [row % 5 % count for row in range(len(training))])
    names = [f"class {index}" for index in range(count)]
    model = export(backbone, head, names)
    probabilities, embedding = cpu_session(model).run(None, {"image": pictures})
    np.testing.assert_allclose(probabilities, head.predict_proba(embeddings), atol=1e-4)
    np.testing.assert_allclose(embedding, embeddings, atol=1e-5)
    np.testing.assert_allclose(head_probabilities(model, embedding), probabilities, atol=1e-5)
    rounded = head_probabilities(model, as_stored(embedding))
    assert np.abs(rounded - probabilities).max() < CLOSE, "rounding decides only between classes that are close"
    assert np.ptp(probabilities, axis=0).max() > 0.2, "otherwise any constant would pass"
    assert classes_of(model) == names
    outputs = [output.name for output in cpu_session(model).get_outputs()]
    assert outputs == ["probabilities", "embedding"]


def test_a_graph_says_what_makes_its_embeddings(backbone: onnx.ModelProto) -> None:
    embeddings = np.random.default_rng(2).normal(size=(10, 1280)).astype(np.float32)
    model = export(backbone, fit_head(embeddings, [0, 1] * 5), ["a", "b"])
    said = metadata(model)["embedding"]
    assert said == {
        "backbone": hashlib.sha256(backbone.SerializeToString(deterministic=True)).hexdigest(),
        "precision": "float32",
    }
    # A service that runs the graph knows no more than this.
    assert common.pictures.embeddings.embedding_method(said["backbone"], said["precision"]) == embedding_method()
    assert supports_embeddings(model)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    onnx.helper.set_model_props(other, {"classes": "[]", "embedding": json.dumps(said | {"precision": "int8"})})
    assert not supports_embeddings(other)
    onnx.helper.set_model_props(other, {"classes": "[]"})
    assert not supports_embeddings(other), "a graph from before they said so"


def test_export_leaves_the_backbone_alone(backbone: onnx.ModelProto) -> None:
    before = backbone.SerializeToString(deterministic=True)
    embeddings = np.random.default_rng(2).normal(size=(10, 1280)).astype(np.float32)
    export(backbone, fit_head(embeddings, [0, 1] * 5), ["a", "ü"])
    assert backbone.SerializeToString(deterministic=True) == before
