"""The labelled images to train on, as the source table names them, and their split into training and held-out rows."""

import hashlib
import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import psycopg2
from sklearn.model_selection import StratifiedGroupKFold

from common.cli import UserError
from common.postgres import Connection
from common.waiting import wait_until

log = logging.getLogger(__name__)

MISSING_SHARE = 0.05
"""Rows without an image that training puts up with."""

FOLDS = 5
"""One fold in five is held out: an 80/20 split."""

Side = Literal["train", "test", "unused"]
"""`unused`: a rehearsal strategy could have chosen the image for training and did not."""


@dataclass(frozen=True)
class LabelledImage:
    """A row of the source table: `image_path` is CLASS/FILE below the data set's folder."""

    image_path: str
    target: int


@dataclass(frozen=True)
class ManifestRow:
    """One image of a training run: which side of the split it was on, and what its file held."""

    dataset: str
    image_path: str
    target: int
    split: Side
    sha256: str


def wait_for_rows(connection: Connection, dataset: str, timeout_s: float) -> list[LabelledImage]:
    """The distinct labelled images of `dataset`, ordered; waits until there are any. `UserError` after `timeout_s`."""
    return wait_until(
        lambda: read_rows(connection, dataset),
        f"labelled rows of '{dataset}' in table cargo (python -m data_generate.data_generator inserts them)",
        timeout_s,
        interval_s=0.5,
    )


def read_rows(connection: Connection, dataset: str) -> list[LabelledImage]:
    """The distinct labelled images of `dataset`, ordered; none while the table does not exist yet."""
    query = (
        "select distinct image_path, target from cargo where dataset = %s and target is not null"
        " order by image_path, target"
    )
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, (dataset,))
            return [LabelledImage(path, target) for path, target in cursor]
    except psycopg2.errors.UndefinedTable:
        return []
    except psycopg2.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"table cargo cannot be read: {reason}. Its columns are in data_generate/source_migrations."
        ) from error


def class_names(images: Sequence[LabelledImage]) -> list[str]:
    """The class folder of each target 0, 1, 2 …; `UserError` where folders and targets are not one to one."""
    folders: defaultdict[int, set[str]] = defaultdict(set)
    targets: defaultdict[str, set[int]] = defaultdict(set)
    for image in images:
        parts = PurePosixPath(image.image_path).parts
        if len(parts) != 2 or ".." in parts or parts[0] == "/":
            raise UserError(f"table cargo names the image {image.image_path!r}, which is not of the form CLASS/FILE")
        folders[image.target].add(parts[0])
        targets[parts[0]].add(image.target)
    mixed = [f"target {target}: {', '.join(sorted(names))}" for target, names in folders.items() if len(names) > 1]
    mixed += [f"class {name}: {', '.join(map(str, sorted(them)))}" for name, them in targets.items() if len(them) > 1]
    if mixed:
        raise UserError(f"class folders and targets in table cargo do not match one to one ({'; '.join(mixed)})")
    if sorted(folders) != list(range(len(folders))):
        raise UserError(
            f"the targets in table cargo are {sorted(folders)}; without gaps they would be 0 to {len(folders) - 1}. "
            "Insert rows of every class."
        )
    if len(folders) < 2:
        raise UserError("table cargo holds images of a single class; a model needs at least two")
    return [folders[target].pop() for target in sorted(folders)]


def present_images(images: Sequence[LabelledImage], folder: Path) -> list[LabelledImage]:
    """Those of `images` whose file is below `folder`. `UserError` when more than `MISSING_SHARE` are not.

    A stream has rows whose image never arrived; they are dead letters elsewhere and must not keep a model from being
    trained. Many of them mean that the folder is the wrong one.
    """
    missing = [image for image in images if not (folder / image.image_path).is_file()]
    if not missing:
        return list(images)
    found = f"{len(missing)} of {len(images)} images are not on disk, first {folder / missing[0].image_path}"
    if len(missing) > MISSING_SHARE * len(images):
        raise UserError(
            f"{found}. Put them there, or set MODEL_REGISTRY_IMAGE_ROOT to the folder that holds the data set."
        )
    log.warning("%s; training goes on without them", found)
    return [image for image in images if image not in set(missing)]


def group_names(images: Sequence[LabelledImage | ManifestRow], pattern: str | None) -> list[str]:
    """What `pattern` captures in each file name; without pattern or match, every image is a group of its own."""
    found = [pattern and re.search(pattern, PurePosixPath(image.image_path).name) for image in images]
    return [
        "\0".join(match.groups(default="")) if match else image.image_path
        for image, match in zip(images, found, strict=True)
    ]


def split(images: Sequence[LabelledImage], classes: Sequence[str], pattern: str | None, seed: int) -> list[bool]:
    """For each image whether it is held out: a fifth of each class as near as groups allow, the same for one seed."""
    targets = np.array([image.target for image in images])
    groups = group_names(images, pattern)
    groups_of = Counter(target for target, _ in set(zip(targets.tolist(), groups, strict=True)))
    for target, name in enumerate(classes):
        if groups_of[target] < FOLDS:
            raise UserError(
                f"class {name} has {groups_of[target]} images (or groups of them) in table cargo; "
                f"at least {FOLDS} are needed to hold some out"
            )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(targets, targets, groups)
    _, held_out = next(iter(folds))
    mask = np.zeros(len(images), dtype=bool)
    mask[held_out] = True
    for target, name in enumerate(classes):
        if not 0 < mask[targets == target].sum() < (targets == target).sum():
            raise UserError(f"with this grouping all images of class {name} fall on one side; try another --seed")
    return mask.tolist()


def same_split(
    images: Sequence[LabelledImage],
    known: Sequence[LabelledImage | ManifestRow],
    known_held_out: Sequence[bool],
    pattern: str | None,
    seed: int,
) -> list[bool]:
    """For each of `images`, of another day or time, whether it is held out: as the one or group of that name known.

    Of names that are new a fifth is held out, by a hash of `seed` and name: the same each time, whatever else there is.
    """
    sides = dict(zip(group_names(known, pattern), known_held_out, strict=True))
    return [
        sides[name] if name in sides else _hashed(f"{seed}/{name}") % FOLDS == 0
        for name in group_names(images, pattern)
    ]


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


def manifest(
    images: Sequence[LabelledImage],
    files: Sequence[Path],
    sides: Sequence[Side],
    dataset: str,
    content_hash: Callable[[Path], str],
) -> list[ManifestRow]:
    """What the run saw, to be checked against when its figures are reproduced."""
    return [
        ManifestRow(dataset, image.image_path, image.target, side, content_hash(file))
        for image, file, side in zip(images, files, sides, strict=True)
    ]


def manifest_text(rows: Sequence[ManifestRow]) -> str:
    """JSON lines."""
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows)


def parse_manifest(text: str) -> list[ManifestRow]:
    """The opposite of `manifest_text`."""
    return [ManifestRow(**json.loads(line)) for line in text.splitlines()]
