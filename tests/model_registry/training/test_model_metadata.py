import json

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from common.pictures.embeddings import EMBEDDING_SIZE, PROJECTION, FloatArray, project
from model_registry.network.embedding_source import cpu_session
from model_registry.training.evaluation import Evaluation
from model_registry.training.head import classes_of, export, fit_head
from model_registry.training.model_metadata import REFERENCE_IMAGES, describe, drift_reference


def held_out(images: int) -> Evaluation:
    """Of two classes; every fourth answer is wrong. Image i is answered with a confidence of its own."""
    targets = np.arange(images) % 2
    confidences = np.linspace(0.6, 0.9, images, dtype=np.float32)
    said = np.where(np.arange(images) % 4 == 0, 1 - targets, targets)
    probabilities = np.where(np.arange(2) == said[:, None], confidences[:, None], 1 - confidences[:, None])
    return Evaluation(targets, probabilities.astype("f4"))


def pictured(images: int) -> FloatArray:
    """Embeddings [N, 1280], image i of length i."""
    embeddings = np.zeros((images, EMBEDDING_SIZE), dtype=np.float32)
    embeddings[:, 0] = np.arange(images)
    return embeddings


def test_the_reference_is_what_the_graph_answered() -> None:
    reference = drift_reference("tuesday", held_out(8), pictured(8))
    assert reference["dataset"] == "tuesday"
    assert reference["accuracy"] == 0.75
    assert reference["confidences"] == pytest.approx(np.linspace(0.6, 0.9, 8).tolist(), abs=1e-6)
    np.testing.assert_allclose(reference["features"], project(pictured(8)), atol=1e-5)
    assert reference["projection"] == PROJECTION


@pytest.mark.parametrize("images", [REFERENCE_IMAGES, REFERENCE_IMAGES + 1, 5 * REFERENCE_IMAGES])
def test_a_long_reference_is_thinned_evenly(images: int) -> None:
    reference = drift_reference("monday", held_out(images), pictured(images))
    numbers = np.linalg.norm(reference["features"], axis=1).round().astype(int).tolist()
    assert len(numbers) == len(reference["confidences"]) == REFERENCE_IMAGES == len(set(numbers))
    assert (numbers[0], numbers[-1]) == (0, images - 1)
    steps = np.diff(numbers)
    assert steps.max() - steps.min() <= 1
    assert reference["accuracy"] == held_out(images).accuracy, "of all images"


def test_a_graph_carries_its_own_answers(
    backbone: onnx.ModelProto, session: onnxruntime.InferenceSession, pictures: npt.NDArray[np.uint8]
) -> None:
    (embeddings,) = session.run(None, {"image": pictures})
    model = export(backbone, fit_head(embeddings, [0, 1, 0, 1, 0]), ["a", "b"])
    before = cpu_session(model).run(None, {"image": pictures})
    describe(model, "monday", held_out(4), pictured(4))
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert set(metadata) == {"classes", "embedding", "self_test", "drift_reference"}
    assert classes_of(model) == ["a", "b"]
    test = metadata["self_test"]
    shape = (test["images"], 224, 224, 3)
    random = np.random.default_rng(test["seed"]).integers(0, 256, shape, dtype=np.uint8)
    (answers,) = cpu_session(model).run(["probabilities"], {"image": random})
    np.testing.assert_allclose(test["probabilities"], answers, atol=1e-6)
    for first, second in zip(before, cpu_session(model).run(None, {"image": pictures}), strict=True):
        assert np.array_equal(first, second), "what a graph says of itself changes no answer"
