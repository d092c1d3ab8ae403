"""Colours as people name them (sRGB, 0 to 255), as the reflectances that light works with."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data_prepare.rendering.noise import Floats

Colour = tuple[int, int, int]

DUSTS: tuple[Colour, ...] = (
    (176, 170, 160),
    (150, 132, 108),
    (196, 180, 150),
    (140, 100, 76),
    (106, 94, 84),
    (164, 130, 100),
    (120, 120, 124),
)
"""What settles on every load."""


def linear(colour: npt.ArrayLike) -> Floats:
    """Reflectance, 0 to 1, of an sRGB colour."""
    return np.asarray((np.asarray(colour, dtype=np.float32) / 255) ** 2.2, dtype=np.float32)


def pick(rng: np.random.Generator, colours: Sequence[Colour], spread: float = 0.1) -> Floats:
    """Reflectance of one of the colours, lighter or darker and a little off in hue."""
    shift = rng.normal(0, spread) + rng.normal(0, spread * 0.2, 3)
    return np.clip(linear(colours[int(rng.integers(len(colours)))]) * np.exp(2.2 * shift), 0.01, 0.95).astype(
        np.float32
    )


def mix(base: Floats, other: Floats, share: Floats) -> Floats:
    """Colours of shape (..., 3) blended by shares of shape (...)."""
    return np.asarray(base + (other - base) * share[..., None], dtype=np.float32)


def mottled(colour: Floats, *relief: tuple[Floats, float]) -> Floats:
    """A colour made lighter and darker by noise fields with their weights."""
    exponent = sum(weight * field for field, weight in relief)
    return np.asarray(np.clip(colour * np.exp(exponent)[..., None], 0.005, 0.97), dtype=np.float32)
