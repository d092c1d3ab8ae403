import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.pictures.images import FORMATS, InvalidImage
from data_prepare.codec import decode, encode

ORIENTATION = 0x0112


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def noise(mode: str, width: int, height: int) -> Image.Image:
    values = np.random.default_rng(5).integers(0, 256, (height, width, 4), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@given(st.sampled_from(FORMATS), st.integers(1, 70), st.integers(1, 70))
def test_format_and_size_are_kept(file_format: str, width: int, height: int) -> None:
    image = Image.open(io.BytesIO(encode(decode(saved(noise("RGB", width, height), file_format)))))
    assert (image.format, image.size, image.mode) == (file_format, (width, height), "RGB")


@pytest.mark.parametrize(
    ("mode", "kept"), [("L", "L"), ("LA", "LA"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("P", "RGB"), ("1", "RGB")]
)
def test_png_pixels_survive_in_every_mode(mode: str, kept: str) -> None:
    image = noise("RGB" if mode == "P" else mode, 23, 17).convert(mode)
    after = Image.open(io.BytesIO(encode(decode(saved(image, "PNG")))))
    assert after.mode == kept
    assert (np.asarray(after) == np.asarray(image.convert(kept))).all()


def test_sixteen_bits_stay_sixteen_bits() -> None:
    deep = np.random.default_rng(2).integers(0, 65536, (9, 13), dtype=np.uint16)
    after = Image.open(io.BytesIO(encode(decode(saved(Image.fromarray(deep), "PNG")))))
    assert (np.asarray(after) == deep).all()


def test_a_transparent_palette_keeps_its_transparency() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 10, 10])
    after = Image.open(io.BytesIO(encode(decode(saved(image, "PNG", transparency=1)))))
    assert after.getpixel((0, 0)) == (200, 10, 10, 0)


def test_cmyk_jpeg_becomes_rgb() -> None:
    after = Image.open(io.BytesIO(encode(decode(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")))))
    red, green, blue = after.getpixel((4, 4))  # type: ignore[misc]
    assert (after.mode, red > 240, green < 15, blue < 15) == ("RGB", True, True, True)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_the_picture_looks_the_same_way_up_with_and_without_exif(orientation: int, file_format: str) -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("red", (0, 0, 10, 5))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "camera"
    data = saved(image, file_format, exif=exif)
    seen = np.asarray(decode(data).pixels, dtype=int)
    after = Image.open(io.BytesIO(encode(decode(data))))
    assert after.getexif().get(ORIENTATION, 1) == 1
    assert after.getexif()[0x010F] == "camera"
    assert seen.shape[:2] == ((40, 20) if orientation > 4 else (20, 40))
    red_rows, red_columns = np.nonzero(np.asarray(after, dtype=int)[..., 0] > 128)
    top, left = red_rows.mean() < seen.shape[0] / 2, red_columns.mean() < seen.shape[1] / 2
    corner = {1: (1, 1), 2: (1, 0), 3: (0, 0), 4: (0, 1), 5: (1, 1), 6: (1, 0), 7: (0, 0), 8: (0, 1)}[orientation]
    assert (top, left) == corner


def test_the_colour_profile_is_kept() -> None:
    data = saved(noise("RGB", 8, 8), "JPEG", icc_profile=b"a profile")
    assert Image.open(io.BytesIO(encode(decode(data)))).info["icc_profile"] == b"a profile"


@pytest.mark.parametrize(
    "data", [b"", b"not an image", saved(noise("RGB", 64, 64), "JPEG")[:900], saved(noise("L", 9, 9), "GIF")]
)
def test_what_is_no_intact_image_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        decode(data)
