"""One ONNX classifier: loaded, checked, asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from api_serving.model_metadata import (
    DriftReference,
    InvalidModel,
    SelfTest,
    read_classes,
    read_reference,
    read_self_test,
)
from common.images import INPUT_SIDE

FEATURES: Final = "drift_features"
"""The output that drift is measured on; older graphs have none."""

_TOLERANCE: Final = 1e-3
"""By how much a probability may differ from machine to machine: processors round sums in different orders."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """Images in, one probability a class out. Several threads may ask it at once."""

    session: Any
    classes: tuple[str, ...]
    has_features: bool = False
    reference: DriftReference | None = None

    def probabilities(self, images: npt.NDArray[np.uint8]) -> FloatArray:
        """`images` (N, 224, 224, 3) RGB to float32 (N, classes)."""
        (result,) = self.session.run(["probabilities"], {"image": images})
        return np.asarray(result, dtype=np.float32)

    def with_features(self, images: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray | None]:
        """Probabilities, and features float32 (N, 32) of the same run, or None where the graph gives none."""
        if not self.has_features:
            return self.probabilities(images), None
        probabilities, features = self.session.run(["probabilities", FEATURES], {"image": images})
        return np.asarray(probabilities, dtype=np.float32), np.asarray(features, dtype=np.float32)

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
    has_features = FEATURES in {output.name for output in session.get_outputs()}
    classifier = Classifier(session, read_classes(metadata), has_features, read_reference(metadata))
    _try_out(classifier, read_self_test(metadata))
    return classifier


def _try_out(classifier: Classifier, test: SelfTest) -> None:
    noise = np.random.default_rng(test.seed).integers(0, 256, (test.images, INPUT_SIDE, INPUT_SIDE, 3), dtype=np.uint8)
    try:
        result, features = classifier.with_features(noise)
    except Exception as error:
        raise InvalidModel(f"it does not turn `image` into `probabilities`: {_first_line(error)}") from error
    if result.shape != (test.images, len(classifier.classes)):
        raise InvalidModel(
            f"it gives probabilities of shape {result.shape} for {test.images} images "
            f"and {len(classifier.classes)} classes"
        )
    if not np.isfinite(result).all() or (result < 0).any() or not np.allclose(result.sum(axis=1), 1, atol=1e-3):
        raise InvalidModel("its probabilities are not finite, not negative numbers that sum to 1")
    if features is not None and (features.ndim != 2 or len(features) != test.images or not np.isfinite(features).all()):
        raise InvalidModel(f"its `{FEATURES}` are not one row of finite numbers an image")
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
