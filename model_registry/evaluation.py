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
    """What is true and what the graph answered, image by image."""

    targets: npt.NDArray[np.int64]
    """Class indices [N]."""

    probabilities: FloatArray
    """[N, C]."""

    features: FloatArray
    """[N, 32] drift features; [N, 0] from a graph that has none."""

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
    outputs = ["probabilities"]
    if any(output.name == "drift_features" for output in session.get_outputs()):
        outputs.append("drift_features")
    progress = track(files, description=description, console=Console(stderr=True))
    answers = [
        session.run(outputs, {"image": np.stack([read_image(file) for file in batch])}) for batch in batches(progress)
    ]
    probabilities, *features = (np.concatenate(output) for output in zip(*answers, strict=True))
    return Evaluation(np.array(targets), probabilities, features[0] if features else np.empty((len(files), 0), "f4"))
