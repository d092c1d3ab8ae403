"""Manifests: JSON lines, one image each, as `image_list.py` writes them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from common.cli import UserError

FIX_HINT = "Create it again with `make sample-data`, or with data_prepare/image_list.py from your own images."


class Item(BaseModel):
    """One image: its path below the data set's folder and its true class, None if it is not labelled."""

    model_config = ConfigDict(frozen=True)

    # PostgreSQL's text cannot hold the character NUL.
    image_path: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
    target: Annotated[int, Field(strict=True, ge=-(2**31), lt=2**31)] | None = None


@dataclass(frozen=True)
class Manifest:
    """A data set's images. `sha256` is that of the file and names this version of it."""

    dataset: str
    sha256: str
    items: tuple[Item, ...]


def read_manifest(folder: Path, dataset: str) -> Manifest:
    """Read `folder/DATASET.json`. `UserError` names the file, the line, and the command that makes it."""
    path = folder / f"{dataset}.json"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"manifest {path} cannot be read ({error.strerror}). {FIX_HINT}") from error
    items = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            items.append(Item.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = f"field {'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
            raise UserError(f"manifest {path}, line {number}: {where}{first['msg']}. {FIX_HINT}") from error
    if not items:
        raise UserError(f"manifest {path} is empty. {FIX_HINT}")
    return Manifest(dataset, hashlib.sha256(content).hexdigest(), tuple(items))
