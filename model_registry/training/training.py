"""From labelled images to a model with its figures, without a registry in sight."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from common.cli import UserError
from common.pictures.embeddings import FloatArray
from common.postgres import Connection
from model_registry.data.dataset import LabelledImage, ManifestRow, manifest_text, wait_for_rows
from model_registry.data.days import CLEAN, DRIFTED, Day, clean_day, drifted_day, drifted_rows
from model_registry.network.backbone import backbone_sha256, pretrained_backbone
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.settings import Settings
from model_registry.strategies import STRATEGIES, Indices
from model_registry.training.code_version import code_commit
from model_registry.training.evaluation import Evaluation, evaluate, evaluate_embeddings
from model_registry.training.head import REGULARISATION, export, fit_head
from model_registry.training.model_metadata import describe
from model_registry.training.rehearsal import Recipe, require_classes, select_rehearsal


@dataclass(frozen=True)
class TrainedModel:
    """A model, what it was made of, and how it does on held-out images."""

    model: onnx.ModelProto
    classes: list[str]
    manifest: list[ManifestRow]
    clean: Evaluation
    drifted: Evaluation | None
    recipe: Recipe
    group_pattern: str | None
    code_commit: str

    @property
    def parameters(self) -> dict[str, object]:
        """What determines the model."""
        text = manifest_text(self.manifest)
        count = Counter((row.dataset, row.split) for row in self.manifest)
        budgeted = STRATEGIES[self.recipe.strategy].budgeted
        return {
            "seed": self.recipe.seed,
            "strategy": self.recipe.strategy,
            **({"budget": self.recipe.budget} if budgeted else {}),
            "group_pattern": self.group_pattern,
            "code_commit": self.code_commit,
            "backbone": "efficientnet-lite0",
            "backbone_sha256": backbone_sha256(),
            "head": "logistic_regression",
            "regularisation": REGULARISATION,
            # For the eye only, as far as a parameter reaches; the graph and classes.json have them all.
            "classes": ", ".join(self.classes)[:500],
            "train_images": count[CLEAN, "train"] + count[DRIFTED, "train"],
            "train_images_monday": count[CLEAN, "train"],
            "train_images_tuesday": count[DRIFTED, "train"],
            "test_images": count[CLEAN, "test"] + count[DRIFTED, "test"],
            "data_manifest_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }

    @property
    def metrics(self) -> dict[str, float]:
        """Figures on held-out images, all 0 to 1."""
        figures = {"test_accuracy": self.clean.accuracy, "test_macro_f1": self.clean.macro_f1}
        figures |= _recalls("test_recall", self.clean, self.classes)
        if self.drifted is not None:
            figures |= {"test_accuracy_tuesday": self.drifted.accuracy, "test_macro_f1_tuesday": self.drifted.macro_f1}
            figures |= _recalls("test_tuesday_recall", self.drifted, self.classes)
        return figures


def _recalls(prefix: str, evaluation: Evaluation, classes: Sequence[str]) -> dict[str, float]:
    # MLflow takes few characters in a metric's name; a folder may have any. The index keeps the names apart.
    return {
        f"{prefix}_{index}_{re.sub('[^a-zA-Z0-9-]', '_', name)[:100]}": recall
        for index, (name, recall) in enumerate(evaluation.recall(classes).items())
    }


@dataclass(frozen=True)
class PreparedDay:
    """All that a training run needs to know of monday; no row of tuesday is needed to find it out."""

    day: Day
    classes: list[str]
    embeddings: FloatArray
    """Of the day's images, [N, 1280]."""

    chosen: Indices
    """Which of them are trained on."""


def train(connection: Connection, settings: Settings, recipe: Recipe, embeddings: EmbeddingSource) -> TrainedModel:
    """Train on the rows that the recipe's strategy chooses. `UserError` says what is wrong with rows or images.

    Rows of monday are waited for; where the strategy trains on tuesday too, its rows must be there.
    """
    uses_new = STRATEGIES[recipe.strategy].uses_new
    clean_rows = wait_for_rows(connection, CLEAN, settings.wait_timeout_s)
    new_rows = drifted_rows(connection) if uses_new else []
    connection.close()  # Nothing more is asked of the database; training may take minutes.
    return train_rows(clean_rows, new_rows, settings, recipe, embeddings)


def train_rows(
    clean_rows: Sequence[LabelledImage],
    new_rows: Sequence[LabelledImage],
    settings: Settings,
    recipe: Recipe,
    embeddings: EmbeddingSource,
    known: Sequence[ManifestRow] = (),
) -> TrainedModel:
    """The same on rows at hand: those of monday, and those of tuesday where the strategy trains on them.

    What an earlier model knew, its manifest `known`, stays on its side of the split.
    """
    old = prepare_clean_day(clean_rows, settings, recipe, embeddings, known)
    return train_on_both_days(old, new_rows, settings, recipe, embeddings, known)


def prepare_clean_day(
    rows: Sequence[LabelledImage],
    settings: Settings,
    recipe: Recipe,
    embeddings: EmbeddingSource,
    known: Sequence[ManifestRow] = (),
) -> PreparedDay:
    """The first half of `train_rows`: monday is split, embedded and chosen from."""
    day, classes = clean_day(rows, settings, recipe.seed, known)
    vectors = embeddings.of(day.files)
    return PreparedDay(day, classes, vectors, select_rehearsal(day, vectors, recipe))


def train_on_both_days(
    old: PreparedDay,
    new_rows: Sequence[LabelledImage],
    settings: Settings,
    recipe: Recipe,
    embeddings: EmbeddingSource,
    known: Sequence[ManifestRow] = (),
) -> TrainedModel:
    """The second half of `train_rows`, with the rows of tuesday."""
    drifted = drifted_day(new_rows, old.day, settings, recipe.seed, known)
    new_embeddings = embeddings.of(drifted.files)
    targets = np.concatenate([old.day.targets[old.chosen], drifted.targets[drifted.training]])
    require_classes(targets, old.classes, recipe)
    vectors = np.concatenate([old.embeddings[old.chosen], new_embeddings[drifted.training]])
    model = export(pretrained_backbone(), fit_head(vectors, targets), old.classes)
    clean_tests, drifted_tests = (day.tests for day in (old.day, drifted))
    shown = old.embeddings[clean_tests]
    on_clean = evaluate_embeddings(model, shown, old.day.targets[clean_tests])
    if len(drifted_tests) > 0:
        shown_drifted, drifted_targets = new_embeddings[drifted_tests], drifted.targets[drifted_tests]
    else:
        shown_drifted, drifted_targets = _drifted_forms(old.day, drifted.folder, embeddings)
    on_drifted = evaluate_embeddings(model, shown_drifted, drifted_targets) if len(drifted_targets) > 0 else None
    if on_drifted is not None and len(drifted.training) > 0:
        describe(model, DRIFTED, on_drifted, shown_drifted)
    else:
        describe(model, CLEAN, on_clean, shown)
    return TrainedModel(
        model,
        old.classes,
        [
            *old.day.manifest(old.chosen, embeddings.content_hash),
            *drifted.manifest(drifted.training, embeddings.content_hash),
        ],
        on_clean,
        on_drifted,
        recipe,
        settings.group_pattern,
        code_commit(settings),
    )


def _drifted_forms(day: Day, folder: Path, embeddings: EmbeddingSource) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Embeddings and classes of those held-out images of `day` that have a drifted form in `folder`."""
    tests = [day.images[index] for index in day.tests]
    present = [image for image in tests if (folder / image.image_path).is_file()]
    targets = np.array([image.target for image in present], dtype=np.int64)
    return embeddings.of([folder / image.image_path for image in present]), targets


def held_out_rows(manifest: Sequence[ManifestRow]) -> list[ManifestRow]:
    """Those that are held out."""
    return [row for row in manifest if row.split == "test"]


def evaluate_rows(model: onnx.ModelProto, rows: Sequence[ManifestRow], folder: Path, description: str) -> Evaluation:
    """Let `model` answer for the files of `rows` below `folder`."""
    return evaluate(model, [folder / row.image_path for row in rows], [row.target for row in rows], description)


def require_accuracy(accuracy: float, minimum: float) -> None:
    """`UserError` when a model is not good enough to serve."""
    if accuracy < minimum:
        raise UserError(
            f"held-out accuracy {accuracy:.4f} is below {minimum:g}: the version is registered but does not serve. "
            "Look at its confusion matrix, correct the images or labels, or lower MODEL_REGISTRY_MINIMUM_ACCURACY."
        )
