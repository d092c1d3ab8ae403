"""Predictions of real embeddings, from which streams are drawn: what a reference knows, and what may come."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from common.pictures.embeddings import PROJECTION, as_stored, project
from dashboard_stream.drift.reference import Reference
from dashboard_stream.drift.sliding_window import Place, PredictionRow
from model_registry.comparison.paired_images import PairedImages
from model_registry.data.dataset import group_names
from model_registry.training.head import fit_head

FOLDS = 5
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLEAN_BEFORE = 100
"""Clean images before the change, so that windows are full of them."""

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """A model's reference, and its predictions of the same images in their clean and their corrupted form."""

    reference: Reference
    clean: list[PredictionRow]
    corrupted: list[PredictionRow]

    def stream(self, length: int, share: float, rng: np.random.Generator) -> list[PredictionRow]:
        """`CLEAN_BEFORE` and a few clean images, then `length` of which `share` are corrupted."""
        before = CLEAN_BEFORE + int(rng.integers(10))
        rounds = -(-(before + length) // len(self.clean))
        order = np.concatenate([rng.permutation(len(self.clean)) for _ in range(rounds)])[: before + length]
        bad = (rng.random(before + length) < share) & (np.arange(before + length) >= before)
        return [(self.corrupted if worse else self.clean)[image] for image, worse in zip(order, bad, strict=True)]


def materials(data: PairedImages, pattern: str | None, seeds: int) -> Iterator[tuple[Material, Material]]:
    """For each fold of each seed: with images the model never saw, and with all, its training images among them.

    Of the first kind each image is predicted by the model that held it out, as a stream of new images would be; the
    reference is one fold's. The second is what the demo streams.
    """
    for seed in range(seeds):
        folds = list(_folds(data, pattern, seed))
        unseen = [_stitched(folds, day, len(data.images)) for day in ("clean", "corrupted")]
        for fold in folds:
            held_out = fold.held_out
            others = np.setdiff1d(np.arange(len(data.images)), held_out)
            new = [
                _rows(data, p, f, others) for p, f in zip(unseen, (fold.features, fold.features_corrupted), strict=True)
            ]
            every = np.arange(len(data.images))
            mixed = [
                _rows(data, fold.clean, fold.features, every),
                _rows(data, fold.corrupted, fold.features_corrupted, every),
            ]
            right = fold.clean[held_out].argmax(axis=1) == data.targets[held_out]
            reference = Reference(
                model_version="1",
                dataset="monday",
                accuracy=float(right.mean()),
                confidences=fold.clean[held_out].max(axis=1).tolist(),
                features=fold.features[held_out].tolist(),
                projection=PROJECTION,
            )
            yield Material(reference, *new), Material(reference, *mixed)


@dataclass(frozen=True)
class _Fold:
    held_out: npt.NDArray[np.int64]
    clean: Probabilities
    corrupted: Probabilities
    features: npt.NDArray[np.float32]
    features_corrupted: npt.NDArray[np.float32]


def _folds(data: PairedImages, pattern: str | None, seed: int) -> Iterator[_Fold]:
    groups = group_names(data.images, pattern)
    splits = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(data.targets, data.targets, groups)
    for training, held_out in splits:
        head = fit_head(data.monday[training], data.targets[training])
        days = (data.monday, data.tuesday)
        probabilities = [head.predict_proba(day) for day in days]
        features = [project(as_stored(day)) for day in days]
        yield _Fold(held_out, *probabilities, *features)


def _stitched(folds: list[_Fold], day: str, images: int) -> Probabilities:
    whole: Probabilities = np.zeros((images, folds[0].clean.shape[1]))
    for fold in folds:
        whole[fold.held_out] = getattr(fold, day)[fold.held_out]
    return whole


def _rows(
    data: PairedImages, probabilities: Probabilities, features: npt.NDArray[np.float32], chosen: npt.NDArray[np.int64]
) -> list[PredictionRow]:
    classes, confidences = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist()
    targets = data.targets.tolist()
    return [
        PredictionRow(
            i, NOW, "d", data.images[i].image_path, classes[i], targets[i], confidences[i], "1", Place(i, i), numbers
        )
        for i, numbers in zip(chosen.tolist(), features[chosen].tolist(), strict=True)
    ]
