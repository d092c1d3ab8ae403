"""Models on disk: one folder a purpose, its ONNX file and its facts always of the same download."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from api_serving.models.model_metadata import ModelInfo

MODEL_FILE: Final = "model.onnx"
FACTS_FILE: Final = "model.json"


class NoModelOnDisk(Exception):
    """There is no usable model in the folder; the text says why."""


class ModelCache:
    """The two versions served last: the last one for times without the registry, the one before for a way back."""

    def __init__(self, folder: Path) -> None:
        self.last = folder
        self._former = folder.with_name(f"{folder.name}-former")

    def find(self, version: str, run_id: str) -> tuple[Path, ModelInfo] | None:
        """The version's ONNX file and facts, if it is one of the two and undamaged."""
        for folder in (self.last, self._former):
            try:
                file, info = read_model(folder)
            except NoModelOnDisk:
                continue
            if (info.version, info.run_id) == (version, run_id):
                return file, info
        return None

    def keep(self, file: Path, info: ModelInfo) -> None:
        """Make this version the last one, and the last one the former. Raises `OSError` when the disk refuses."""
        content = self.last.resolve()
        if file.parent == content:
            return
        former = _target(self._former)
        if file.parent == former:
            # The way back: both are on disk already and change places.
            _link(self.last, former)
            _link(self._former, content)
            return
        written = _write(self.last, file, info)
        if self.last.is_symlink():
            _link(self._former, content)
        _link(self.last, written)
        if former not in (None, content):
            shutil.rmtree(former, ignore_errors=True)


def sha256(file: Path) -> str:
    """Hex digest of the file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_model(folder: Path, onnx_file: Path, info: ModelInfo) -> None:
    """Make `folder` hold model.onnx and model.json: readers see the old pair or the new pair, also after a crash.

    `folder` is a symlink to a folder that is never changed, and replacing a symlink is atomic.
    """
    content = _write(folder, onnx_file, info)
    former = _target(folder)
    _link(folder, content)
    if former is not None:
        shutil.rmtree(former, ignore_errors=True)


def read_model(folder: Path) -> tuple[Path, ModelInfo]:
    """The ONNX file and its facts. Raises `NoModelOnDisk`, also when the file is not the one that was written."""
    content = folder.resolve()
    try:
        info = ModelInfo.model_validate_json((content / FACTS_FILE).read_bytes())
        if sha256(content / MODEL_FILE) != info.sha256:
            raise NoModelOnDisk(f"{folder / MODEL_FILE} is damaged")
    except FileNotFoundError as error:
        raise NoModelOnDisk(f"{folder} holds no model") from error
    except (OSError, ValidationError) as error:
        raise NoModelOnDisk(f"{folder} cannot be read ({str(error).splitlines()[0]})") from error
    return content / MODEL_FILE, info


def _write(folder: Path, onnx_file: Path, info: ModelInfo) -> Path:
    """A new folder beside `folder` with the pair, safely on disk."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    content = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent.resolve()))
    try:
        content.chmod(0o755)
        shutil.copyfile(onnx_file, content / MODEL_FILE)
        (content / FACTS_FILE).write_text(info.model_dump_json(indent=2) + "\n")
        for file in (content / MODEL_FILE, content / FACTS_FILE):
            _flush(file)
    except BaseException:
        shutil.rmtree(content, ignore_errors=True)
        raise
    return content


def _link(folder: Path, content: Path) -> None:
    link = content.with_suffix(".link")
    link.unlink(missing_ok=True)  # of a process that was killed here
    link.symlink_to(content.name)
    link.replace(folder)


def _target(folder: Path) -> Path | None:
    return folder.resolve() if folder.is_symlink() else None


def _flush(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
