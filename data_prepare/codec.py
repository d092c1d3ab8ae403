"""A picture as an array of its own pixels and back, in the format that it came in."""

import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image, ImageOps

from common.pictures.images import decode_checked
from data_prepare.corruptions import Pixels

KEPT_MODES: Final = frozenset({"L", "LA", "RGB", "RGBA", "I;16"})
"""Modes whose arrays can take any grey or colour. Palettes, bitmaps and CMYK cannot and become RGB."""

SAVE_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    # Fixed, so that neither the source's tables nor Pillow's defaults decide how much a second coding loses.
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "method": 4},
    "PNG": {},
    "BMP": {},
}


@dataclass(frozen=True)
class Picture:
    """Upright pixels, and what is needed to save them as they came."""

    pixels: Pixels
    format: str
    metadata: dict[str, bytes]


def decode(data: bytes) -> Picture:
    """Decode with every channel and bit kept. Raises `common.pictures.images.InvalidImage`.

    Turned by its EXIF orientation, which is then gone from the metadata: the picture looks the same way up in
    programs that heed the tag and in those that do not.
    """
    return decode_checked(data, _to_picture)


def _to_picture(image: Image.Image) -> Picture:
    # Phones write JPEG files that hold several pictures; the first is the photograph.
    source_format = "JPEG" if image.format == "MPO" else str(image.format)
    upright = ImageOps.exif_transpose(image)
    metadata = {key: value for key in ("exif", "icc_profile") if isinstance(value := upright.info.get(key), bytes)}
    if upright.mode not in KEPT_MODES:
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
        # The profile describes the old channels.
        metadata.pop("icc_profile", None)
    return Picture(np.array(upright), source_format, metadata)


def encode(picture: Picture) -> bytes:
    """The file's bytes in the picture's format."""
    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, picture.format, **SAVE_OPTIONS[picture.format], **picture.metadata)
    return buffer.getvalue()
