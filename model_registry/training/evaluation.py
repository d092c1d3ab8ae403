"""How good a model is: what it answers for images whose classes are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from sklearn.metrics import ConfusionMatrixDisplay, f1_score, recall_score

from common.pictures.embeddings import FloatArray
from model_registry.network.embedding_source import batches, cpu_session, read_image
from model_registry.training.head import head_probabilities

CLOSE = 0.01
"""Between the two highest probabilities of an image. Embeddings are kept as float16, which moves answers by less."""


@dataclass(frozen=True)
class Evaluation:
    """What is true and what the graph answered, image by image."""

    targets: npt.NDArray[np.int64]
    """Class indices [N]."""

    probabilities: FloatArray
    """[N, C]."""

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """Class indices [N]."""
        indices: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return indices

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return float((self.targets == self.predictions).mean())

    @property
    def close(self) -> npt.NDArray[np.bool_]:
        """For each image whether two classes are so nearly equal that the embedding's rounding may decide, [N]."""
        highest = np.sort(self.probabilities, axis=1)[:, -2:]
        close: npt.NDArray[np.bool_] = highest[:, 1] - highest[:, 0] < CLOSE
        return close

    @property
    def macro_f1(self) -> float:
        """Mean over the classes of the F1 score."""
        return float(f1_score(self.targets, self.predictions, average="macro", zero_division=0.0))

    def recall(self, classes: Sequence[str]) -> dict[str, float]:
        """Share of each class's images that were found."""
        indices = list(range(len(classes)))
        scores = recall_score(self.targets, self.predictions, labels=indices, average=None, zero_division=0.0)
        return dict(zip(classes, map(float, scores), strict=True))

    def confusion_matrix(self, classes: Sequence[str]) -> Figure:
        """The picture: true classes down, predicted ones across."""
        side = 3 + 0.6 * len(classes)
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        ConfusionMatrixDisplay.from_predictions(
            self.targets,
            self.predictions,
            labels=list(range(len(classes))),
            display_labels=list(classes),
            xticks_rotation="vertical",
            ax=figure.add_subplot(),
        )
        return figure


def evaluate(model: onnx.ModelProto, files: Sequence[Path], targets: Sequence[int], description: str) -> Evaluation:
    """Let `model` answer for every file; there must be one. `UserError` names a file that is no good image."""
    session = cpu_session(model)
    progress = track(files, description=description, console=Console(stderr=True))
    answers = [
        session.run(["probabilities"], {"image": np.stack([read_image(file) for file in batch])})[0]
        for batch in batches(progress)
    ]
    return Evaluation(np.array(targets), np.concatenate(answers))


def evaluate_embeddings(model: onnx.ModelProto, embeddings: FloatArray, targets: npt.NDArray[np.int64]) -> Evaluation:
    """Let `model` answer for pictures that are embedded already, [N, 1280], in next to no time."""
    return Evaluation(targets, head_probabilities(model, embeddings))
