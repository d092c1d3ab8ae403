"""What a camera on a pole makes of the light: perspective, focus, exposure, colour cast, noise, JPEG."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from data_prepare.rendering.noise import Floats
from data_prepare.rendering.solids import rotation

CANVAS_SIDE = 400
"""Pixels a side of what is rendered; the photograph shows its middle, turned and foreshortened."""


def draw_view(rng: np.random.Generator) -> Floats:
    """From straight above to a slant of 40 degrees, any way round."""
    return rotation(0, 0, rng.uniform(0, 0.7)) @ rotation(rng.uniform(0, 2 * np.pi), 0, 0)


def photograph(light: Floats, side: int, rng: np.random.Generator) -> bytes:
    """A JPEG file, `side` pixels square, of linear light of shape (CANVAS_SIDE, CANVAS_SIDE, 3)."""
    light = _focus(light, rng)
    light = light * _colour_cast(rng)
    luminance = light @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
    # Automatic exposure looks at the middle, and is off by up to a stop.
    middle = luminance[CANVAS_SIDE // 4 : -CANVAS_SIDE // 4, CANVAS_SIDE // 4 : -CANVAS_SIDE // 4].mean()
    light = light * (0.2 * 2 ** rng.uniform(-0.9, 0.9) / max(float(middle), 1e-3)) * _vignette(rng)
    # A shoulder instead of clipped highlights.
    light = np.where(light < 0.6, light, 0.6 + 0.4 * np.tanh((light - 0.6) / 0.4))
    shot, read = rng.uniform(0.004, 0.02), rng.uniform(0.001, 0.006)
    grain = gaussian_filter(rng.standard_normal(light.shape, dtype=np.float32), (0.6, 0.6, 0)) * 2
    light = light + grain * np.sqrt(shot**2 * np.maximum(light, 0) + read**2)
    encoded = np.clip(light, 0, 1) ** np.float32(1 / 2.2) * 255
    picture = Image.fromarray(np.rint(encoded).astype(np.uint8)).transform(
        (side, side),
        Image.Transform.PERSPECTIVE,
        _perspective(side, rng),
        Image.Resampling.BICUBIC,
    )
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(rng.integers(82, 94)), optimize=True)
    return buffer.getvalue()


def _focus(light: Floats, rng: np.random.Generator) -> Floats:
    """Sharp along one line, softer away from it, and a slight shake now and then."""
    sharp = gaussian_filter(light, (0.55, 0.55, 0))
    if rng.uniform() < 0.15:
        sharp = gaussian_filter1d(sharp, rng.uniform(0.6, 1.4), axis=int(rng.integers(2)))
    soft = gaussian_filter(sharp, (rng.uniform(0.8, 2.2),) * 2 + (0,))
    line = np.linspace(-1, 1, len(light), dtype=np.float32)[:, None, None]
    blend = np.clip((np.abs(line - rng.uniform(-0.5, 0.5)) - 0.55) * 1.6, 0, 1)
    return np.asarray(sharp + blend * (soft - sharp), dtype=np.float32)


def _colour_cast(rng: np.random.Generator) -> Floats:
    """White balance that missed: along blue to amber, and a little green to magenta."""
    amber, green = rng.normal(0, 0.13), rng.normal(0, 0.04)
    return np.array(np.exp([amber, green, -amber]), dtype=np.float32)


def _vignette(rng: np.random.Generator) -> Floats:
    axis = np.linspace(-1, 1, CANVAS_SIDE, dtype=np.float32)
    return (1 - rng.uniform(0.05, 0.3) * (axis[:, None] ** 2 + axis[None, :] ** 2) / 2)[..., None]


def _perspective(side: int, rng: np.random.Generator) -> list[float]:
    """Pillow's eight coefficients: from photograph to canvas, with a zoom, a turn and converging lines."""
    zoom = rng.uniform(0.78, 0.98) * CANVAS_SIDE / 2
    turn = rng.normal(0, 0.06)
    tilt_x, tilt_y = rng.normal(0, 0.03), rng.uniform(0, 0.16)
    cosine, sine = np.cos(turn), np.sin(turn)
    to_unit = np.array([[2 / side, 0, -1], [0, 2 / side, -1], [0, 0, 1]])
    # The corners of the unit square may not leave the canvas.
    slack = 1 / (abs(cosine) + abs(sine)) * (1 - abs(tilt_x) - abs(tilt_y))
    homography = np.array([[cosine, -sine, 0], [sine, cosine, 0], [tilt_x, tilt_y, 1]])
    to_canvas = np.array([[zoom * slack, 0, CANVAS_SIDE / 2], [0, zoom * slack, CANVAS_SIDE / 2], [0, 0, 1]])
    matrix = to_canvas @ homography @ to_unit
    return [float(value) for value in (matrix / matrix[2, 2]).ravel()[:8]]
