"""Image folders as this stage sees them, and writes that leave no half file behind."""

import os
from pathlib import Path

from common.cli import UserError
from common.pictures.images import SUFFIXES


def is_image(path: Path) -> bool:
    """Whether the name is that of an image: a known suffix, and not hidden (`._photo.jpg` is no picture)."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name. `UserError` when it is no readable folder."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(
            f"folder {folder} cannot be read ({error.strerror}). Name an existing, readable one."
        ) from error


def class_folders(root: Path) -> list[Path]:
    """The folders in `root` in the order of their class indices, hidden ones left out."""
    return [path for path in entries(root) if path.is_dir() and not path.name.startswith(".")]


def images_in(folder: Path) -> list[Path]:
    """The images that lie in the folder itself, sorted by name."""
    return [path for path in entries(folder) if is_image(path)]


def list_images(root: Path) -> list[str]:
    """Images of a folder of images or of class folders, as `FILE` and `CLASS/FILE` relative to `root`.

    Raises `UserError` when the folder is missing or holds no image.
    """
    folders = [root, *class_folders(root)]
    names = [path.relative_to(root).as_posix() for folder in folders for path in images_in(folder)]
    if not names:
        raise UserError(
            f"{root} holds no images, nor do the folders in it. Accepted are files with {', '.join(sorted(SUFFIXES))}."
        )
    return names


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or none: a killed run leaves at most a hidden `.part` file, which the next run replaces.

    Raises `UserError` when the place cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)  # noqa: PTH105 - says that the target may exist
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}). Choose a place with room and permission."
        ) from error
