"""Checks a registered version: downloaded anew, it must give the very accuracy that its run logged."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from common.cli import UserError
from model_registry.dataset import ManifestRow
from model_registry.days import CLEAN, DRIFTED
from model_registry.embeddings import content_hash
from model_registry.registry import Registry, run_of
from model_registry.training import evaluate_rows, held_out_rows

NAMED = 5
"""How many changed images a message names."""


@dataclass(frozen=True)
class Verified:
    """The accuracy that the run logged and the one measured now, on `images` held-out images of one data set."""

    dataset: str
    logged: float
    measured: float
    images: int


def verify(registry: Registry, version: ModelVersion, image_root: Path) -> list[Verified]:
    """Download `version` and evaluate it on its own held-out images, day by day.

    `UserError` when those images are missing or not what they were, or when the accuracy differs at all.
    """
    with tempfile.TemporaryDirectory() as scratch:
        held_out = held_out_rows(registry.manifest(version, Path(scratch)))
    require_unchanged(held_out, image_root)
    model = registry.load(version)
    metrics = registry.client.get_run(run_of(version)).data.metrics
    results = []
    for dataset, metric in ((CLEAN, "test_accuracy"), (DRIFTED, "test_accuracy_tuesday")):
        rows = [row for row in held_out if row.dataset == dataset]
        if rows:
            description = f"Checking version {version.version} on {dataset}"
            measured = evaluate_rows(model, rows, image_root / dataset, description).accuracy
            results.append(Verified(dataset, metrics[metric], measured, len(rows)))
    for result in results:
        if result.measured != result.logged:
            raise UserError(
                f"version {version.version} logged a test accuracy of {result.logged!r} on {result.dataset} but gives "
                f"{result.measured!r} now. Its artifacts or the libraries that run it have changed."
            )
    return results


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
