"""Checks a registered version: downloaded anew it must be what was trained, with the accuracy that its run logged."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from mlflow.entities.model_registry import ModelVersion

from common.cli import UserError
from model_registry.data.content_hash import content_hash
from model_registry.data.dataset import ManifestRow
from model_registry.data.days import CLEAN, DRIFTED
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.training.evaluation import Evaluation, evaluate
from model_registry.training.head import head_probabilities
from model_registry.training.training import TrainedModel, evaluate_rows, held_out_rows
from model_registry.versions.registry_client import Registry, run_id_of

NAMED = 5
"""How many changed images a message names."""

SAMPLE = 8
"""Held-out images that go through the whole graph, as pictures; the others as embeddings through its last layer."""

SAMPLE_TOLERANCE = 0.02
"""Between probabilities: what float16 takes from an embedding moves them by a few thousandths."""


@dataclass(frozen=True)
class Verified:
    """The accuracy that the run logged and the one measured now, on `images` held-out images of one data set."""

    dataset: str
    logged: float
    measured: float
    images: int
    close: int
    """Images of which two classes are nearly equal. Without any, both accuracies are the same."""


def require_registered(
    registry: Registry, version: ModelVersion, trained: TrainedModel, image_root: Path, embeddings: EmbeddingSource
) -> onnx.ModelProto:
    """`version` as the registry has it. `UserError` when it is not what was trained and measured."""
    model = registry.load(version)
    if model != trained.model:
        # Else its answers would have to be asked for once more.
        raise UserError(f"version {version.version} as the registry has it is not the model that was trained")
    held_out = held_out_rows(trained.manifest)
    places = np.linspace(0, len(held_out) - 1, min(SAMPLE, len(held_out))).round().astype(int)
    rows = [held_out[place] for place in places]
    files = [image_root / row.dataset / row.image_path for row in rows]
    answers = evaluate(model, files, [row.target for row in rows], f"Checking version {version.version}")
    apart = np.abs(answers.probabilities - head_probabilities(model, embeddings.of(files))).max(axis=1)
    if apart.max() > SAMPLE_TOLERANCE:
        file = files[int(apart.argmax())]
        raise UserError(
            f"version {version.version} answers {file} otherwise than was measured: the embedding of that "
            "image is not its network's. Delete MODEL_REGISTRY_EMBEDDING_CACHE and train again."
        )
    return model


def verify(registry: Registry, version: ModelVersion, image_root: Path) -> list[Verified]:
    """Download `version` and let the whole graph answer for its own held-out images, day by day.

    `UserError` when those images are missing or not what they were, or when the accuracy differs by more than images
    of which two classes are nearly equal.
    """
    with tempfile.TemporaryDirectory() as scratch:
        held_out = held_out_rows(registry.manifest(version, Path(scratch)))
    require_unchanged(held_out, image_root)
    model = registry.load(version)
    metrics = registry.client.get_run(run_id_of(version)).data.metrics
    results = []
    for dataset, metric in ((CLEAN, "test_accuracy"), (DRIFTED, "test_accuracy_tuesday")):
        rows = [row for row in held_out if row.dataset == dataset]
        if rows:
            description = f"Checking version {version.version} on {dataset}"
            measured = evaluate_rows(model, rows, image_root / dataset, description)
            if not explained_by_near_ties(metrics[metric], measured):
                raise UserError(
                    f"version {version.version} logged a test accuracy of {metrics[metric]!r} on {dataset} but gives "
                    f"{measured.accuracy!r} now. Its artifacts or the libraries that run it have changed."
                )
            close = int(measured.close.sum())
            results.append(Verified(dataset, metrics[metric], measured.accuracy, len(rows), close))
    return results


def explained_by_near_ties(logged: float, measured: Evaluation) -> bool:
    """Whether `logged` is the accuracy of these very answers, but for images of which two classes are nearly equal."""
    images = len(measured.targets)
    right = int((measured.predictions == measured.targets).sum())
    close_right = int((measured.close & (measured.predictions == measured.targets)).sum())
    second = measured.probabilities.argsort(axis=1)[:, -2]
    could_be_right = int((measured.close & (second == measured.targets)).sum())
    return any(logged == count / images for count in range(right - close_right, right + could_be_right + 1))


def require_unchanged(rows: Sequence[ManifestRow], image_root: Path) -> None:
    """`UserError` names images of `rows` that are missing below `image_root` or hold other bytes than then."""
    changed = [row for row in rows if not _unchanged(row, image_root / row.dataset / row.image_path)]
    if changed:
        names = ", ".join(row.image_path for row in changed[:NAMED])
        raise UserError(
            f"{len(changed)} of {len(rows)} images below {image_root} are missing or have changed since "
            f"training: {names}{', …' if len(changed) > NAMED else ''}. Restore them, set MODEL_REGISTRY_IMAGE_ROOT, "
            "or train anew."
        )


def _unchanged(row: ManifestRow, file: Path) -> bool:
    return file.is_file() and content_hash(file) == row.sha256
