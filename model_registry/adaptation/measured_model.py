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

from common.pictures.images import INPUT_SIDE
from model_registry.data.dataset import ManifestRow
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.training.head import head_probabilities, supports_embeddings
from model_registry.training.training import evaluate_rows

BATCH = 8
"""Pictures in a batch, as the API sends them through a model."""

RUNS = 7


class MeasuredModel:
    """One graph; nothing is measured twice."""

    def __init__(self, model: onnx.ModelProto, image_root: Path, embeddings: EmbeddingSource) -> None:
        self.model = model
        self._image_root = image_root
        self._embeddings = embeddings
        self._answers: dict[ManifestRow, int] = {}

    def predictions(self, rows: Sequence[ManifestRow]) -> npt.NDArray[np.int64]:
        """Class indices for the images of `rows`, in their order. `UserError` names a file that is no good image.

        From embeddings, where they are this graph's own; an older graph gets the pictures themselves.
        """
        missing = [row for row in rows if row not in self._answers]
        for day in {row.dataset for row in missing}:
            of_day = [row for row in missing if row.dataset == day]
            self._answers |= zip(of_day, self._predictions(of_day, self._image_root / day).tolist(), strict=True)
        return np.array([self._answers[row] for row in rows], dtype=np.int64)

    def _predictions(self, rows: Sequence[ManifestRow], folder: Path) -> npt.NDArray[np.int64]:
        if supports_embeddings(self.model):
            embeddings = self._embeddings.of([folder / row.image_path for row in rows])
            indices: npt.NDArray[np.int64] = head_probabilities(self.model, embeddings).argmax(axis=1)
            return indices
        return evaluate_rows(self.model, rows, folder, f"Champion on {folder.name}").predictions

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
