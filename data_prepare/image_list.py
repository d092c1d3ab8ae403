"""List a data set's images with their class indices, as JSON lines that the data generator loads."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from common.cli import UserError, run
from common.paths import IMAGE_ROOT, MANIFESTS
from data_prepare.files import class_folders, images_in, write_atomically

app = typer.Typer(add_completion=False)

REFERENCE = "monday"
"""Whose class folders give the indices; the model is trained on it."""

DATASETS = (REFERENCE, "tuesday")
MAX_PATH_LENGTH = 255
"""Characters that the table's column `image_path` holds."""


def manifest(folder: Path, classes: Sequence[str]) -> list[dict[str, str | int]]:
    """One record an image, sorted by class and name. `UserError` names an empty class or a name no row can hold."""
    records: list[dict[str, str | int]] = []
    for target, name in enumerate(classes):
        paths = [f"{name}/{path.name}" for path in images_in(folder / name)]
        if not paths:
            raise UserError(f"class folder {folder / name} holds no images. Fill it or remove it.")
        records += [{"image_path": check_path(path), "target": target} for path in paths]
    return records


def check_path(image_path: str) -> str:
    """The path itself; `UserError` when it does not fit the table."""
    if len(image_path) > MAX_PATH_LENGTH or not image_path.isprintable():
        raise UserError(
            f"image path {image_path!r} is longer than {MAX_PATH_LENGTH} characters or not plain text. Rename the file."
        )
    return image_path


def class_names(folder: Path) -> list[str]:
    """Names of the class folders in index order. `UserError` when there are none."""
    names = [path.name for path in class_folders(folder)]
    if not names:
        raise UserError(f"data set {folder} has no class folders. Put its images into one folder a class.")
    return names


def check_same_classes(root: Path, reference: str, dataset: str) -> None:
    """A class that only one of them has would shift the indices of all that sort after it."""
    expected, found = set(class_names(root / reference)), set(class_names(root / dataset))
    if differing := sorted(expected ^ found):
        raise UserError(
            f"{dataset} and {reference} differ in their class folders: {', '.join(differing)}. Give both the same ones."
        )


@app.command()
def main(
    root: Annotated[Path, typer.Option(help="Folder that holds one folder a data set.")] = IMAGE_ROOT,
    output: Annotated[Path, typer.Option(help="Folder for the manifests, one DATASET.json each.")] = MANIFESTS,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Data set to list; repeat it for several.", show_default="those there are")
    ] = None,
) -> None:
    """Write a manifest a data set. The class index is the position in the sorted class folders."""
    datasets = dataset or [name for name in DATASETS if (root / name).is_dir()]
    if not datasets:
        raise UserError(f"{root} holds neither {' nor '.join(DATASETS)}. Make them, or name others with --dataset.")
    reference = REFERENCE if (root / REFERENCE).is_dir() else datasets[0]
    for name in datasets:
        check_same_classes(root, reference, name)
    classes = class_names(root / reference)
    # All are read before any is written: a fault leaves the old manifests as they were.
    manifests = {name: manifest(root / name, classes) for name in datasets}
    for name, records in manifests.items():
        path = output / f"{name}.json"
        content = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in records).encode()
        # One that says the same is left alone: two stacks of one checkout may list at the same time.
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)
        typer.echo(f"{path}: {len(records)} images, {len(classes)} classes")


if __name__ == "__main__":
    run(app)
