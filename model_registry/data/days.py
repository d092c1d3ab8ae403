"""The data sets of two days, split so that no form of a held-out image is ever trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.cli import UserError
from common.postgres import Connection
from model_registry.data.dataset import (
    LabelledImage,
    ManifestRow,
    Side,
    class_names,
    manifest,
    present_images,
    read_rows,
    same_split,
    split,
)
from model_registry.settings import Settings

CLEAN = "monday"
"""The data set that the first model is trained on: the old rows."""

DRIFTED = "tuesday"
"""The same kind of images changed: what the model meets later, the new rows."""


@dataclass(frozen=True)
class Day:
    """The images of one data set that are on disk, and for each whether it is held out."""

    dataset: str
    folder: Path
    images: Sequence[LabelledImage]
    held_out: Sequence[bool]

    @property
    def files(self) -> list[Path]:
        """Where the images lie."""
        return [self.folder / image.image_path for image in self.images]

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """Class indices [N]."""
        return np.array([image.target for image in self.images], dtype=np.int64)

    @property
    def training(self) -> npt.NDArray[np.intp]:
        """Indices of the images that may be trained on."""
        return np.flatnonzero(~np.array(self.held_out, dtype=bool))

    @property
    def tests(self) -> npt.NDArray[np.intp]:
        """Indices of the images that are held out."""
        return np.flatnonzero(np.array(self.held_out, dtype=bool))

    def manifest(self, trained_on: npt.NDArray[np.intp], content_hash: Callable[[Path], str]) -> list[ManifestRow]:
        """What became of each image; `content_hash` tells what a file holds."""
        sides: list[Side] = ["test" if test else "unused" for test in self.held_out]
        for index in trained_on:
            sides[index] = "train"
        return manifest(self.images, self.files, sides, self.dataset, content_hash)


def clean_day(
    rows: Sequence[LabelledImage], settings: Settings, seed: int, known: Sequence[ManifestRow] = ()
) -> tuple[Day, list[str]]:
    """Monday, a fifth of it held out, and the names of its classes.

    What an earlier model knew, its manifest `known`, stays on its side of the split, so that both can be compared.
    """
    images = present_images(rows, settings.image_root / CLEAN)
    classes = class_names(images)
    if known:
        held_out = same_split(images, known, _sides(known), settings.group_pattern, seed)
    else:
        held_out = split(images, classes, settings.group_pattern, seed)
    return Day(CLEAN, settings.image_root / CLEAN, images, held_out), classes


def drifted_rows(connection: Connection) -> list[LabelledImage]:
    """The distinct labelled images of tuesday; `UserError` when there are none."""
    rows = read_rows(connection, DRIFTED)
    if not rows:
        raise UserError(
            f"table cargo has no labelled rows of '{DRIFTED}' to train on. Insert some "
            f"(python -m data_generate.data_generator --dataset {DRIFTED}), or choose --strategy {CLEAN}."
        )
    return rows


def drifted_day(
    rows: Sequence[LabelledImage], clean: Day, settings: Settings, seed: int, known: Sequence[ManifestRow] = ()
) -> Day:
    """Tuesday, split as `clean` and `known` are; empty where `rows` are. `UserError` when its classes are others."""
    images = present_images(rows, settings.image_root / DRIFTED)
    classes = class_names(clean.images)
    if class_names([*clean.images, *images]) != classes:
        raise UserError(f"'{DRIFTED}' has classes that '{CLEAN}' does not have; its classes are {', '.join(classes)}")
    names: list[LabelledImage | ManifestRow] = [*known, *clean.images]
    sides = [*_sides(known), *clean.held_out]
    held_out = same_split(images, names, sides, settings.group_pattern, seed)
    return Day(DRIFTED, settings.image_root / DRIFTED, images, held_out)


def _sides(known: Sequence[ManifestRow]) -> list[bool]:
    return [row.split == "test" for row in known]
