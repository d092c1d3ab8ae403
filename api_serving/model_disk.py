"""Models on disk: one folder a purpose, its ONNX file and its facts always of the same download."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from api_serving.schemas import ModelInfo

MODEL_FILE: Final = "model.onnx"
FACTS_FILE: Final = "model.json"


class NoModelOnDisk(Exception):
    """There is no usable model in the folder; the text says why."""


def sha256(file: Path) -> str:
    """Hex digest of the file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_model(folder: Path, onnx_file: Path, info: ModelInfo) -> None:
    """Make `folder` hold model.onnx and model.json: readers see the old pair or the new pair, also after a crash.

    `folder` is a symlink to a folder that is never changed, and replacing a symlink is atomic.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    content = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        content.chmod(0o755)
        shutil.copyfile(onnx_file, content / MODEL_FILE)
        (content / FACTS_FILE).write_text(info.model_dump_json(indent=2) + "\n")
        for file in (content / MODEL_FILE, content / FACTS_FILE):
            _flush(file)
        former = folder.resolve() if folder.is_symlink() else None
        link = content.with_suffix(".link")
        link.symlink_to(content.name)
        link.replace(folder)
    except BaseException:
        shutil.rmtree(content, ignore_errors=True)
        raise
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


def _flush(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
