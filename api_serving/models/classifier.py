"""One ONNX classifier: loaded, checked, asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from api_serving.models.model_metadata import (
    DriftReference,
    InvalidModel,
    SelfTest,
    read_classes,
    read_embedding_origin,
    read_reference,
    read_self_test,
)
from common.pictures.embeddings import EMBEDDING_SIZE, embedding_method
from common.pictures.images import INPUT_SIDE

EMBEDDING: Final = "embedding"

_TOLERANCE: Final = 1e-3
"""By how much a probability may differ from machine to machine: processors round sums in different orders."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """Images in, one probability a class out. Several threads may ask it at once."""

    session: Any
    classes: tuple[str, ...]
    embedding_method: str | None = None
    """Names what makes this graph's embeddings; None where it does not say, or has none."""
    reference: DriftReference | None = None

    def probabilities(self, images: npt.NDArray[np.uint8]) -> FloatArray:
        """`images` (N, 224, 224, 3) RGB to float32 (N, classes)."""
        (result,) = self.session.run(["probabilities"], {"image": images})
        return np.asarray(result, dtype=np.float32)

    def with_embeddings(self, images: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray | None]:
        """Probabilities, and embeddings float32 (N, 1280) of the same run, or None where there are none to keep."""
        if self.embedding_method is None:
            return self.probabilities(images), None
        probabilities, embeddings = self.session.run(["probabilities", EMBEDDING], {"image": images})
        return np.asarray(probabilities, dtype=np.float32), np.asarray(embeddings, dtype=np.float32)

    def warm_up(self, *sizes: int) -> None:
        """Run batches of these sizes, so that no request waits for the memory that a first run asks for."""
        for size in sizes:
            self.probabilities(np.zeros((size, INPUT_SIDE, INPUT_SIDE, 3), np.uint8))


def load_classifier(file: Path, threads: int) -> Classifier:
    """Load `file` and prove that it answers as agreed. Raises `InvalidModel`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A waiting thread that spins would take the core from the other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base for what a damaged file raises
        raise InvalidModel(f"onnxruntime cannot load it: {_first_line(error)}") from error
    metadata = session.get_modelmeta().custom_metadata_map
    origin = read_embedding_origin(metadata)
    method = embedding_method(origin.backbone, origin.precision) if origin else None
    classifier = Classifier(session, read_classes(metadata), method, read_reference(metadata))
    _try_out(classifier, read_self_test(metadata))
    return classifier


def _try_out(classifier: Classifier, test: SelfTest) -> None:
    noise = np.random.default_rng(test.seed).integers(0, 256, (test.images, INPUT_SIDE, INPUT_SIDE, 3), dtype=np.uint8)
    try:
        result, embeddings = classifier.with_embeddings(noise)
    except Exception as error:
        raise InvalidModel(f"its output for `image` has the wrong form: {_first_line(error)}") from error
    if result.shape != (test.images, len(classifier.classes)):
        raise InvalidModel(
            f"it gives probabilities of shape {result.shape} for {test.images} images "
            f"and {len(classifier.classes)} classes"
        )
    if not np.isfinite(result).all() or (result < 0).any() or not np.allclose(result.sum(axis=1), 1, atol=1e-3):
        raise InvalidModel("its probabilities are not finite, not negative numbers that sum to 1")
    if embeddings is not None and (
        embeddings.shape != (test.images, EMBEDDING_SIZE) or not (np.abs(embeddings) <= np.finfo(np.float16).max).all()
    ):
        raise InvalidModel(
            f"its `{EMBEDDING}` is not one row of {EMBEDDING_SIZE} numbers an image that float16 can hold"
        )
    _compare(result, test)


def _compare(result: FloatArray, test: SelfTest) -> None:
    if test.probabilities is None:
        return
    if [len(row) for row in test.probabilities] != [result.shape[1]] * test.images:
        raise InvalidModel("its metadata `self_test` has not one probability a class for each picture")
    difference = float(np.abs(result - np.asarray(test.probabilities)).max())
    if difference > _TOLERANCE:
        raise InvalidModel(
            f"its self-test fails: a probability differs by {difference:.4f} from what it was where the model was made"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
