"""How good a model is, measured with the very graph that will serve, from image files to answers."""

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

from model_registry.embeddings import batches, cpu_session, read_image
from model_registry.weights import FloatArray


@dataclass(frozen=True)
class Evaluation:
    """True and predicted class indices, image by image."""

    targets: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return float((self.targets == self.predictions).mean())

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


def predict(model: onnx.ModelProto, files: Sequence[Path], description: str) -> FloatArray:
    """Probabilities [len(files), C] of image files. `UserError` names a file that is no good image."""
    session = cpu_session(model)
    progress = track(files, description=description, console=Console(stderr=True))
    return np.concatenate(
        [
            session.run(["probabilities"], {"image": np.stack([read_image(file) for file in batch])})[0]
            for batch in batches(progress)
        ]
    )


def evaluate(model: onnx.ModelProto, files: Sequence[Path], targets: Sequence[int], description: str) -> Evaluation:
    """Let `model` answer for every file."""
    return Evaluation(np.array(targets), predict(model, files, description).argmax(axis=1))
