"""From labelled images to a model with its figures, without a registry in sight."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from common.cli import UserError
from common.postgres import Connection
from model_registry.backbone import backbone_sha256, pretrained_backbone
from model_registry.code_version import code_commit
from model_registry.dataset import LabelledImage, ManifestRow, manifest_text, wait_for_rows
from model_registry.days import CLEAN, DRIFTED, clean_day, drifted_day, drifted_rows
from model_registry.drift_projection import fit_projection
from model_registry.embeddings import embed
from model_registry.evaluation import Evaluation, evaluate
from model_registry.head import REGULARISATION, export, fit_head
from model_registry.rehearsal import Recipe, rehearsed, require_classes
from model_registry.self_description import describe
from model_registry.settings import Settings
from model_registry.strategies import STRATEGIES


@dataclass(frozen=True)
class Trained:
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


def train(connection: Connection, settings: Settings, recipe: Recipe) -> Trained:
    """Train on the rows that the recipe's strategy chooses. `UserError` says what is wrong with rows or images.

    Rows of monday are waited for; where the strategy trains on tuesday too, its rows must be there.
    """
    uses_new = STRATEGIES[recipe.strategy].uses_new
    clean_rows = wait_for_rows(connection, CLEAN, settings.wait_timeout_s)
    new_rows = drifted_rows(connection) if uses_new else []
    connection.close()  # Nothing more is asked of the database; training may take minutes.
    return train_rows(clean_rows, new_rows, settings, recipe)


def train_rows(
    clean_rows: Sequence[LabelledImage],
    new_rows: Sequence[LabelledImage],
    settings: Settings,
    recipe: Recipe,
    known: Sequence[ManifestRow] = (),
) -> Trained:
    """The same on rows at hand: those of monday, and those of tuesday where the strategy trains on them.

    What an earlier model knew, its manifest `known`, stays on its side of the split.
    """
    clean, classes = clean_day(clean_rows, settings, recipe.seed, known)
    drifted = drifted_day(new_rows, clean, settings, recipe.seed, known)
    old_embeddings = embed(clean.files, settings.embedding_cache)
    new_embeddings = embed(drifted.files, settings.embedding_cache)
    chosen = rehearsed(clean, old_embeddings, recipe)
    targets = np.concatenate([clean.targets[chosen], drifted.targets[drifted.training]])
    require_classes(targets, classes, recipe)
    vectors = np.concatenate([old_embeddings[chosen], new_embeddings[drifted.training]])
    model = export(pretrained_backbone(), fit_head(vectors, targets), fit_projection(vectors), classes)
    clean_manifest, drifted_manifest = clean.manifest(chosen), drifted.manifest(drifted.training)
    clean_tests, drifted_tests = held_out_rows(clean_manifest), held_out_rows(drifted_manifest)
    on_clean = evaluate_rows(model, clean_tests, settings.image_root / CLEAN, "Evaluating on monday")
    on_drifted = _evaluate_drifted(model, drifted_tests or clean_tests, settings.image_root / DRIFTED)
    if on_drifted is not None and len(drifted.training) > 0:
        describe(model, DRIFTED, on_drifted)
    else:
        describe(model, CLEAN, on_clean)
    return Trained(
        model,
        classes,
        clean_manifest + drifted_manifest,
        on_clean,
        on_drifted,
        recipe,
        settings.group_pattern,
        code_commit(settings),
    )


def held_out_rows(manifest: Sequence[ManifestRow]) -> list[ManifestRow]:
    """Those that are held out."""
    return [row for row in manifest if row.split == "test"]


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
