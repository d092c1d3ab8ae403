"""Reads images of the data sets, and nothing else."""

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from api_serving.request_handling.problems import Problem
from common.pictures.images import MAX_BYTES, SUFFIXES

_DATASET: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FORBIDDEN: Final = re.compile(r"[\\\x00-\x1f\x7f\ud800-\udfff]")
_MAX_PATH: Final = 255
"""Characters; what the tables hold."""


@dataclass(frozen=True)
class ImageStore:
    """The folder `root` with one folder a data set.

    A data set's folder may be a symlink, which its operator made; inside it no symlink may lead out.
    """

    root: Path

    def read(self, dataset: str, image_path: str) -> bytes:
        """The bytes of an image file of at most `MAX_BYTES`. Raises `Problem`."""
        relative = _checked(dataset, image_path)
        folder = self._folder(dataset)
        try:
            file = (folder / relative).resolve(strict=True)
            if not file.is_relative_to(folder):
                raise _refused(f"{image_path!r} is a link that leaves the data set")
            return _read_file(file, image_path)
        except RuntimeError:  # how pathlib of Python 3.11 and 3.12 reports a loop of links
            raise _refused(f"{image_path!r} is a link to itself") from None
        except OSError as error:
            raise _from_os(error, dataset, image_path) from error

    def _folder(self, dataset: str) -> Path:
        folder = self.root / dataset
        if not folder.is_dir():
            raise Problem(
                404,
                "dataset-not-found",
                f"There is no data set {dataset!r}. Ask for another one, or make its folder in the image root.",
            )
        return folder.resolve()


def _checked(dataset: str, image_path: str) -> PurePosixPath:
    if not _DATASET.fullmatch(dataset):
        raise _refused("dataset must be 1 to 64 letters, digits, '_' or '-'")
    if not 1 <= len(image_path) <= _MAX_PATH:
        raise _refused(f"image_path must have 1 to {_MAX_PATH} characters")
    if _FORBIDDEN.search(image_path):
        raise _refused("image_path must not contain backslashes, control characters or halves of characters")
    if any(part in ("", ".", "..") for part in image_path.split("/")):
        raise _refused(f"{image_path!r} is absolute or has empty, '.' or '..' parts")
    relative = PurePosixPath(image_path)
    if relative.suffix.lower() not in SUFFIXES:
        raise Problem(
            415,
            "unsupported-image",
            f"{image_path!r} does not end in one of {', '.join(sorted(SUFFIXES))}. Convert the file to one of these.",
        )
    return relative


def _refused(reason: str) -> Problem:
    return Problem(422, "invalid-image-path", f"{reason}. Send CLASS/FILE as it lies in the data set's folder.")


def _from_os(error: OSError, dataset: str, image_path: str) -> Problem:
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        return Problem(
            404,
            "image-not-found",
            f"The data set {dataset!r} has no image {image_path!r}. "
            "Send CLASS/FILE as it lies in the data set's folder.",
        )
    if error.errno == errno.ELOOP:
        return _refused(f"{image_path!r} is a link to itself")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Problem(
            403,
            "image-not-readable",
            f"The server may not read {image_path!r}. Give its user permission, then send the request again.",
        )
    return Problem(
        503,
        "image-store-unavailable",
        f"The server cannot read {image_path!r} now ({error.strerror}). Send the request again later.",
        {"Retry-After": "5"},
    )


def _read_file(file: Path, image_path: str) -> bytes:
    # O_NONBLOCK: opening a named pipe must not wait for a writer.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise _refused(f"{image_path!r} is not a file")
        if facts.st_size > MAX_BYTES:
            raise Problem(
                413,
                "image-too-large",
                f"{image_path!r} has {facts.st_size} bytes; at most {MAX_BYTES} are accepted. Make the file smaller.",
            )
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            return opened.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)
