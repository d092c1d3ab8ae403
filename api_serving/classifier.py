"""One ONNX classifier: loaded, checked, asked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from common.images import INPUT_SIDE

_SELF_TEST_IMAGES: Final = 2
"""More than one, so that a graph with a fixed batch of one is refused here and not by the first batch."""


class InvalidModel(Exception):
    """A file that is not a classifier of the agreed form; the text says what is wrong with it."""


@dataclass(frozen=True)
class Classifier:
    """Images in, one probability a class out. Several threads may ask it at once."""

    session: Any
    classes: tuple[str, ...]

    def probabilities(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """`images` (N, 224, 224, 3) RGB to float32 (N, classes)."""
        (result,) = self.session.run(["probabilities"], {"image": images})
        return np.asarray(result, dtype=np.float32)


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
    classifier = Classifier(session, _classes(session))
    _self_test(classifier)
    return classifier


def _classes(session: Any) -> tuple[str, ...]:
    try:
        classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    except (KeyError, ValueError) as error:
        raise InvalidModel("its metadata has no JSON list `classes`") from error
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) and name for name in classes):
        raise InvalidModel("its metadata `classes` is not a list of names")
    if len(set(classes)) != len(classes):
        raise InvalidModel("its metadata `classes` names a class twice")
    return tuple(classes)


def _self_test(classifier: Classifier) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (_SELF_TEST_IMAGES, INPUT_SIDE, INPUT_SIDE, 3), dtype=np.uint8)
    try:
        result = classifier.probabilities(noise)
    except Exception as error:
        raise InvalidModel(f"it does not turn `image` into `probabilities`: {_first_line(error)}") from error
    if result.shape != (_SELF_TEST_IMAGES, len(classifier.classes)):
        raise InvalidModel(
            f"it gives probabilities of shape {result.shape} for {_SELF_TEST_IMAGES} images "
            f"and {len(classifier.classes)} classes"
        )
    if not np.isfinite(result).all() or (result < 0).any() or not np.allclose(result.sum(axis=1), 1, atol=1e-3):
        raise InvalidModel("its probabilities are not finite, not negative numbers that sum to 1")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
