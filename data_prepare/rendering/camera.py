"""What a camera on a pole makes of the light: perspective, focus, exposure, colour cast, noise, JPEG."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from data_prepare.rendering.noise import Floats
from data_prepare.rendering.solids import rotation

CANVAS_SIDE = 336
"""Pixels a side of what is rendered; the photograph shows most of it."""


def draw_view(rng: np.random.Generator) -> Floats:
    """From straight above to a slant of 40 degrees, any way round."""
    return rotation(0, 0, rng.uniform(0, 0.7)) @ rotation(rng.uniform(0, 2 * np.pi), 0, 0)


def photograph(light: Floats, side: int, rng: np.random.Generator) -> bytes:
    """A JPEG file, `side` pixels square, of linear light of shape (CANVAS_SIDE, CANVAS_SIDE, 3)."""
    seen = _focus(_project(light, side, rng), rng) * _colour_cast(rng)
    luminance = seen @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
    # Automatic exposure looks at the middle, and is off by up to a stop.
    middle = slice(side // 4, side - side // 4)
    exposure = 0.2 * 2 ** rng.uniform(-0.9, 0.9) / max(float(luminance[middle, middle].mean()), 1e-3)
    seen = seen * exposure * _vignette(side, rng)
    # A shoulder instead of clipped highlights.
    seen = np.where(seen < 0.6, seen, 0.6 + 0.4 * np.tanh((seen - 0.6) / 0.4))
    shot, read = rng.uniform(0.004, 0.02), rng.uniform(0.001, 0.006)
    grain = gaussian_filter(rng.standard_normal(seen.shape, dtype=np.float32), (0.6, 0.6, 0), truncate=2) * 2
    seen = seen + grain * np.sqrt(shot**2 * np.maximum(seen, 0) + read**2)
    encoded = np.clip(seen, 0, 1) ** np.float32(1 / 2.2) * 255
    buffer = io.BytesIO()
    picture = Image.fromarray(np.rint(encoded).astype(np.uint8))
    picture.save(buffer, "JPEG", quality=int(rng.integers(82, 94)))
    return buffer.getvalue()


def _project(light: Floats, side: int, rng: np.random.Generator) -> Floats:
    """The canvas with a zoom and converging lines; the corners of the photograph never leave it."""
    tilt_x, tilt_y = rng.normal(0, 0.02), rng.uniform(0, 0.1)
    half = CANVAS_SIDE / 2
    zoom = rng.uniform(0.86, 1) * half * (1 - min(0.3, abs(tilt_x) + tilt_y))
    to_unit = np.array([[2 / side, 0, -1], [0, 2 / side, -1], [0, 0, 1]])
    to_canvas = np.array([[zoom, 0, half], [0, zoom, half], [0, 0, 1]])
    matrix = to_canvas @ np.array([[1, 0, 0], [0, 1, 0], [tilt_x, tilt_y, 1]]) @ to_unit
    coefficients = [float(value) for value in (matrix / matrix[2, 2]).ravel()[:8]]
    bands = [
        Image.fromarray(np.ascontiguousarray(light[..., band], dtype=np.float32)).transform(
            (side, side), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC
        )
        for band in range(3)
    ]
    return np.asarray(np.maximum(np.stack([np.asarray(band) for band in bands], axis=-1), 0), dtype=np.float32)


def _focus(light: Floats, rng: np.random.Generator) -> Floats:
    """Sharp along one line, softer away from it, and a slight shake now and then."""
    sharp = gaussian_filter(light, (0.5, 0.5, 0), truncate=3)
    if rng.uniform() < 0.15:
        sharp = gaussian_filter1d(sharp, rng.uniform(0.6, 1.4), axis=int(rng.integers(2)))
    blur = rng.uniform(0.8, 2.2)
    soft = gaussian_filter(sharp, (blur, blur, 0), truncate=3)
    line = np.linspace(-1, 1, len(light), dtype=np.float32)[:, None, None]
    blend = np.clip((np.abs(line - rng.uniform(-0.5, 0.5)) - 0.55) * 1.6, 0, 1)
    return np.asarray(sharp + blend * (soft - sharp), dtype=np.float32)


def _colour_cast(rng: np.random.Generator) -> Floats:
    """White balance that missed: along blue to amber, and a little green to magenta."""
    amber, green = rng.normal(0, 0.13), rng.normal(0, 0.04)
    return np.array(np.exp([amber, green, -amber]), dtype=np.float32)


def _vignette(side: int, rng: np.random.Generator) -> Floats:
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    falloff = 1 - rng.uniform(0.05, 0.3) * (axis[:, None] ** 2 + axis[None, :] ** 2) / 2
    return np.asarray(falloff[..., None], dtype=np.float32)
