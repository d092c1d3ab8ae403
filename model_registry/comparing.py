"""What a model answers and how long it takes, measured with the very graph that serves."""

import statistics
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from common.images import INPUT_SIDE
from model_registry.dataset import ManifestRow
from model_registry.training import evaluate_rows

BATCH = 8
"""Pictures in a batch, as the API sends them through a model."""

RUNS = 20


class Measured:
    """One graph; nothing is measured twice."""

    def __init__(self, model: onnx.ModelProto, image_root: Path) -> None:
        self.model = model
        self._image_root = image_root
        self._answers: dict[ManifestRow, int] = {}

    def answers(self, rows: Sequence[ManifestRow]) -> npt.NDArray[np.int64]:
        """Class indices for the images of `rows`, in their order. `UserError` names a file that is no good image."""
        missing = [row for row in rows if row not in self._answers]
        for day in {row.dataset for row in missing}:
            of_day = [row for row in missing if row.dataset == day]
            evaluation = evaluate_rows(self.model, of_day, self._image_root / day, f"Champion on {day}")
            self._answers |= zip(of_day, evaluation.predictions.tolist(), strict=True)
        return np.array([self._answers[row] for row in rows], dtype=np.int64)

    @cached_property
    def batch_ms(self) -> float:
        """Processor time for a batch of `BATCH` pictures, in milliseconds: the median of `RUNS`.

        One thread does all the work, so that is what a batch takes on an idle machine, however busy this one is.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        content = self.model.SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        pictures = np.zeros((BATCH, INPUT_SIDE, INPUT_SIDE, 3), dtype=np.uint8)
        times = []
        for _ in range(RUNS):
            began = time.thread_time()
            session.run(["probabilities"], {"image": pictures})
            times.append(time.thread_time() - began)
        return 1000 * statistics.median(times)
