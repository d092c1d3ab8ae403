"""The images that exist in a form for each day, which is what strategies are compared on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.cli import UserError
from common.pictures.embeddings import FloatArray
from common.pictures.images import SUFFIXES
from model_registry.data.content_hash import content_hash
from model_registry.data.dataset import LabelledImage, class_names
from model_registry.data.days import CLEAN, DRIFTED
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.settings import Settings


@dataclass(frozen=True)
class PairedImages:
    """N images that exist in a form for each day, with their embeddings, float32 [N, D]."""

    images: Sequence[LabelledImage]
    classes: Sequence[str]
    monday: FloatArray
    tuesday: FloatArray

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """Class indices [N]."""
        return np.array([image.target for image in self.images], dtype=np.int64)


def paired_images(settings: Settings) -> PairedImages:
    """The images below both days' folders, with their embeddings. `UserError` when there are none."""
    folders = [settings.image_root / day for day in (CLEAN, DRIFTED)]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}. Set MODEL_REGISTRY_IMAGE_ROOT, or give --image-root.")
    names = sorted(set.intersection(*(_image_names(folder) for folder in folders)))
    if not names:
        raise UserError(f"{folders[0]} and {folders[1]} have no image CLASS/FILE of the same name")
    folders_of_classes = sorted({name.split("/")[0] for name in names})
    images = [LabelledImage(name, folders_of_classes.index(name.split("/")[0])) for name in names]
    embeddings = EmbeddingSource(settings.embedding_cache, content_hash)
    clean, drifted = (embeddings.of([folder / name for name in names]) for folder in folders)
    return PairedImages(images, class_names(images), clean, drifted)


def _image_names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.glob("*/*") if file.suffix.lower() in SUFFIXES}
