import numpy as np
import pytest

from model_registry.backbone import EMBEDDING_SIZE
from model_registry.drift_projection import FEATURES, Projection, fit_projection
from model_registry.weights import FloatArray


def project(projection: Projection, embeddings: FloatArray) -> FloatArray:
    result: FloatArray = embeddings @ projection.weights.T + projection.biases
    return result


def test_the_first_feature_follows_the_direction_that_varies_most() -> None:
    """Rows lie along one axis at -3, -1, 1, 3, and with a tenth of that along another: a known answer."""
    embeddings = np.full((4, EMBEDDING_SIZE), 0.5, dtype=np.float32)
    embeddings[:, 7] += np.array([-3, -1, 1, 3], dtype=np.float32)
    embeddings[:, 900] += np.array([0.1, -0.3, 0.3, -0.1], dtype=np.float32)
    features = project(fit_projection(embeddings), embeddings)
    np.testing.assert_allclose(np.abs(features[:, 0]), [3, 1, 1, 3], atol=1e-2)
    np.testing.assert_allclose(np.abs(features[:, 1]), [0.1, 0.3, 0.3, 0.1], atol=5e-2)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("rows", [2, 10, 33, 200])
def test_there_are_always_as_many_features(rows: int) -> None:
    embeddings = np.random.default_rng(rows).normal(size=(rows, EMBEDDING_SIZE)).astype(np.float32)
    projection = fit_projection(embeddings)
    assert projection.weights.shape == (FEATURES, EMBEDDING_SIZE)
    lengths = np.linalg.norm(projection.weights, axis=1)
    told = min(rows - 1, FEATURES)
    np.testing.assert_allclose(lengths, [1.0] * told + [0.0] * (FEATURES - told), atol=1e-5)
    again = fit_projection(embeddings)
    assert np.array_equal(projection.weights, again.weights)
    assert np.array_equal(projection.biases, again.biases)


def test_pictures_that_are_all_the_same_have_features_of_zero() -> None:
    embeddings = np.full((6, EMBEDDING_SIZE), 0.3, dtype=np.float32)
    assert not project(fit_projection(embeddings), embeddings).any()
