import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from model_registry.drift_projection import fit_projection
from model_registry.embeddings import cpu_session
from model_registry.head import classes_of, export, fit_head


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
    projection = fit_projection(training)
    model = export(backbone, head, projection, names)
    probabilities, embedding, features = cpu_session(model).run(None, {"image": pictures})
    np.testing.assert_allclose(probabilities, head.predict_proba(embeddings), atol=1e-4)
    np.testing.assert_allclose(embedding, embeddings, atol=1e-5)
    np.testing.assert_allclose(features, embeddings @ projection.weights.T + projection.biases, atol=1e-3)
    assert np.ptp(probabilities, axis=0).max() > 0.2, "otherwise any constant would pass"
    assert classes_of(model) == names
    outputs = [output.name for output in cpu_session(model).get_outputs()]
    assert outputs == ["probabilities", "embedding", "drift_features"]


def test_export_leaves_the_backbone_alone(backbone: onnx.ModelProto) -> None:
    before = backbone.SerializeToString(deterministic=True)
    embeddings = np.random.default_rng(2).normal(size=(10, 1280)).astype(np.float32)
    export(backbone, fit_head(embeddings, [0, 1] * 5), fit_projection(embeddings), ["a", "ü"])
    assert backbone.SerializeToString(deterministic=True) == before
