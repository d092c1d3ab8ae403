"""The one way an image becomes the model's input, in training and in serving."""

import io
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

INPUT_SIDE: Final = 224
"""Pixels a side of the square that the model sees."""

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
MAX_BYTES: Final = 20 * 1024 * 1024
MAX_PIXELS: Final = 50_000_000
"""A decoded RGB picture of this size takes 150 MB; a 50 kB PNG can claim far more."""
MAX_SCANNED_PIXELS: Final = 10 * MAX_PIXELS
"""A progressive JPEG is gone over once a scan, usually ten times; 160 kB can ask for hundreds, which take seconds."""

START_OF_SCAN: Final = b"\xff\xda"
"""Cannot occur within a scan's data; embedded previews hold a few more."""


T = TypeVar("T")

# Pillow's own limit warns below the double of its threshold; here every image is measured before it is decoded.
Image.MAX_IMAGE_PIXELS = None


class InvalidImage(ValueError):
    """Bytes that are not an acceptable image; the text says why and what is accepted."""


class UnsupportedImage(InvalidImage):
    """Not one of `FORMATS`."""


class ImageTooLarge(InvalidImage):
    """More bytes or pixels than accepted."""


def open_image(data: bytes) -> Image.Image:
    """The picture as upright RGB. Raises `InvalidImage`.

    A JPEG is decoded at the smallest of its built-in scales that still holds twice the model's resolution.
    """
    return decode_checked(data, _upright_rgb)


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.draft("RGB", (2 * INPUT_SIDE, 2 * INPUT_SIDE))
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        # Pillow would clip 16-bit grey at 255, which turns nearly every such picture white.
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return upright.convert("RGB")


def decode_checked(data: bytes, decode: Callable[[Image.Image], T]) -> T:
    """Check format, bytes, pixels and scans, and only then let `decode` touch the pixels. Raises `InvalidImage`."""
    if len(data) > MAX_BYTES:
        raise ImageTooLarge(f"the image has {len(data)} bytes; at most {MAX_BYTES} are accepted. Send a smaller file.")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageTooLarge(
                f"the image has {width}×{height} pixels; at most {MAX_PIXELS} are accepted. Send a smaller picture."
            )
        if image.format == "JPEG" and width * height * data.count(START_OF_SCAN) > MAX_SCANNED_PIXELS:
            raise ImageTooLarge(
                f"the image has {width}×{height} pixels in {data.count(START_OF_SCAN)} scans; at most "
                f"{MAX_SCANNED_PIXELS} pixels in all scans together are accepted. Save it again, with fewer scans."
            )
        return decode(image)
    except UnidentifiedImageError as error:
        raise UnsupportedImage(
            f"the bytes are no image of a supported format. Send one of {', '.join(FORMATS)}."
        ) from error
    except InvalidImage:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over.
        raise InvalidImage(f"the image is damaged and cannot be decoded ({error}). Send an intact file.") from error


def to_model_input(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The whole picture resized to the model's square: uint8, shape (224, 224, 3), RGB."""
    return np.asarray(
        image.resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0), dtype=np.uint8
    )
