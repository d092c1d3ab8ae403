"""From labelled images to a model with its figures, without a registry in sight."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from common.cli import UserError
from common.postgres import Connection
from model_registry.backbone import backbone_sha256, pretrained_backbone
from model_registry.dataset import (
    ManifestRow,
    class_names,
    manifest,
    manifest_text,
    present_images,
    split,
    wait_for_rows,
)
from model_registry.embeddings import embed
from model_registry.evaluation import Evaluation, evaluate
from model_registry.head import REGULARISATION, export, fit_head
from model_registry.settings import Settings

CLEAN = "monday"
"""The data set that models are trained on."""

DRIFTED = "tuesday"
"""The same images changed: what the model meets later."""


@dataclass(frozen=True)
class Trained:
    """A model, what it was made of, and how it does on held-out images."""

    model: onnx.ModelProto
    classes: list[str]
    manifest: list[ManifestRow]
    clean: Evaluation
    drifted: Evaluation | None
    seed: int
    group_pattern: str | None

    @property
    def parameters(self) -> dict[str, object]:
        """What determines the model."""
        text = manifest_text(self.manifest)
        held_out = sum(row.split == "test" for row in self.manifest)
        return {
            "seed": self.seed,
            "group_pattern": self.group_pattern,
            "backbone": "efficientnet-lite0",
            "backbone_sha256": backbone_sha256(),
            "head": "logistic_regression",
            "regularisation": REGULARISATION,
            # For the eye only, as far as a parameter reaches; the graph and classes.json have them all.
            "classes": ", ".join(self.classes)[:500],
            "train_images": len(self.manifest) - held_out,
            "test_images": held_out,
            "data_manifest_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }

    @property
    def metrics(self) -> dict[str, float]:
        """Figures on held-out images, all 0 to 1."""
        recalls = self.clean.recall(self.classes).items()
        figures = {"test_accuracy": self.clean.accuracy, "test_macro_f1": self.clean.macro_f1}
        # MLflow takes few characters in a metric's name; a folder may have any. The index keeps the names apart.
        figures |= {
            f"test_recall_{index}_{re.sub('[^a-zA-Z0-9-]', '_', name)[:100]}": recall
            for index, (name, recall) in enumerate(recalls)
        }
        if self.drifted is not None:
            figures["test_accuracy_tuesday"] = self.drifted.accuracy
        return figures


def train(connection: Connection, settings: Settings, seed: int) -> Trained:
    """Train on the rows of `monday`, waiting for them. `UserError` says what is wrong with rows or images."""
    images = wait_for_rows(connection, CLEAN, settings.wait_timeout_s)
    connection.close()  # Nothing more is asked of the database; training may take minutes.
    images = present_images(images, settings.image_root / CLEAN)
    classes = class_names(images)
    files = [settings.image_root / CLEAN / image.image_path for image in images]
    held_out = split(images, classes, settings.group_pattern, seed)
    embeddings = embed(files, settings.embedding_cache)
    training = [index for index, test in enumerate(held_out) if not test]
    head = fit_head(embeddings[training], [images[index].target for index in training])
    model = export(pretrained_backbone(), head, classes)
    rows = manifest(images, files, held_out, CLEAN)
    test_rows = [row for row in rows if row.split == "test"]
    return Trained(
        model,
        classes,
        rows,
        evaluate_rows(model, test_rows, settings.image_root / CLEAN, "Evaluating on monday"),
        _evaluate_drifted(model, test_rows, settings.image_root / DRIFTED),
        seed,
        settings.group_pattern,
    )


def evaluate_rows(model: onnx.ModelProto, rows: Sequence[ManifestRow], folder: Path, description: str) -> Evaluation:
    """Let `model` answer for the files of `rows` below `folder`."""
    return evaluate(model, [folder / row.image_path for row in rows], [row.target for row in rows], description)


def _evaluate_drifted(model: onnx.ModelProto, rows: Sequence[ManifestRow], folder: Path) -> Evaluation | None:
    """On those held-out images that have a drifted form; None when none has."""
    present = [row for row in rows if (folder / row.image_path).is_file()]
    return evaluate_rows(model, present, folder, "Evaluating on tuesday") if present else None


def require_accuracy(accuracy: float, minimum: float) -> None:
    """`UserError` when a model is not good enough to serve."""
    if accuracy < minimum:
        raise UserError(
            f"held-out accuracy {accuracy:.4f} is below {minimum:g}: the version is registered but does not serve. "
            "Look at its confusion matrix, mend the images or labels, or lower MODEL_REGISTRY_MINIMUM_ACCURACY."
        )
