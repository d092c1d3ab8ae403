"""What an image must be before it reaches the model."""

import io

import numpy as np
import pytest
from PIL import Image

from common.pictures.images import (
    INPUT_SIDE,
    MAX_BYTES,
    START_OF_SCAN,
    ImageTooLarge,
    InvalidImage,
    UnsupportedImage,
    open_image,
    to_model_input,
)


def encoded(image: Image.Image, image_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_every_accepted_format_keeps_its_colour(image_format: str) -> None:
    image = open_image(encoded(Image.new("RGB", (40, 30), (200, 100, 50)), image_format))
    assert image.mode == "RGB"
    assert np.allclose(np.asarray(image).mean(axis=(0, 1)), (200, 100, 50), atol=3)


def test_the_orientation_tag_is_followed() -> None:
    picture = Image.new("RGB", (40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    assert open_image(encoded(picture, "JPEG", exif=exif)).size == (20, 40)


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    grey = Image.fromarray(np.full((8, 8), 20000, dtype=np.uint16))
    assert np.asarray(open_image(encoded(grey)))[0, 0].tolist() == [78, 78, 78]


def test_a_claim_of_too_many_pixels_is_refused_before_decoding() -> None:
    small = encoded(Image.new("1", (10_000, 10_000)))
    assert len(small) < 100_000
    with pytest.raises(ImageTooLarge, match="10000×10000"):
        open_image(small)


def progressive(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes so often that there are `scans`."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (200, 90, 30)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last, end = data.rindex(START_OF_SCAN), data.rindex(b"\xff\xd9")
    return data[:end] + (scans - data.count(START_OF_SCAN)) * data[last:end] + data[end:]


def test_scans_that_would_take_long_are_refused_before_decoding() -> None:
    assert open_image(progressive(4000, 12)).size[0] >= 2 * INPUT_SIDE
    assert open_image(progressive(200, 300)).size == (200, 200), "small ones may have as many as they like"
    with pytest.raises(ImageTooLarge, match="4000×4000 pixels in 300 scans"):
        open_image(progressive(4000, 300))


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(ImageTooLarge, match="bytes"):
        open_image(b"\0" * (MAX_BYTES + 1))


def test_other_formats_are_refused() -> None:
    with pytest.raises(UnsupportedImage, match="JPEG, PNG"):
        open_image(encoded(Image.new("RGB", (4, 4)), "GIF"))


def test_a_truncated_file_is_named_damaged() -> None:
    whole = encoded(Image.effect_noise((200, 200), 50), "JPEG")
    with pytest.raises(InvalidImage, match="damaged"):
        open_image(whole[: len(whole) // 2])


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (1000, 700)])
def test_the_model_sees_one_square_of_bytes(size: tuple[int, int]) -> None:
    square = to_model_input(Image.new("RGB", size, (10, 20, 30)))
    assert square.shape == (INPUT_SIDE, INPUT_SIDE, 3)
    assert square.dtype == np.uint8
    assert square[100, 100].tolist() == [10, 20, 30]
