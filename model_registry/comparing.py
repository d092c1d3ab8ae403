"""Lets champion and challenger answer for the same held-out images, with the very graphs that serve."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from common.images import INPUT_SIDE
from model_registry.dataset import ManifestRow
from model_registry.gate import Answers
from model_registry.training import evaluate_rows

BATCH = 8
"""Pictures in a batch, as the API sends them through a model."""

RUNS = 20


def answers_of_both(
    champion: onnx.ModelProto, challenger: onnx.ModelProto, rows: Sequence[ManifestRow], image_root: Path
) -> dict[str, Answers]:
    """What both models say of `rows`, by day. `UserError` names a file that is no good image."""
    days = {}
    for day in sorted({row.dataset for row in rows}):
        of_day = [row for row in rows if row.dataset == day]
        before, after = (
            evaluate_rows(model, of_day, image_root / day, f"{name} on {day}")
            for name, model in (("Champion", champion), ("Challenger", challenger))
        )
        days[day] = Answers(before.targets, before.predictions, after.predictions)
    return days


def batch_ms(model: onnx.ModelProto) -> float:
    """Processor time for a batch of `BATCH` pictures, in milliseconds: the median of `RUNS`.

    One thread does all the work, so that is what a batch takes on an idle machine, however busy this one is.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    pictures = np.zeros((BATCH, INPUT_SIDE, INPUT_SIDE, 3), dtype=np.uint8)
    times = []
    for _ in range(RUNS):
        began = time.thread_time()
        session.run(["probabilities"], {"image": pictures})
        times.append(time.thread_time() - began)
    return 1000 * statistics.median(times)
