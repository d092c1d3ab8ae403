"""Fractal noise, made once a process and looked up many times."""

from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.fft

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

SIDE: Final = 1024
"""Pixels a side of a noise field; a power of two, and the fields tile, so that any coordinate can be looked up."""


@lru_cache
def field(name: int, slope: float) -> Floats:
    """Tileable fractal noise of shape (SIDE, SIDE), mean 0, deviation 1.

    `slope` is the fall of amplitude with frequency: 0 is white noise, 1 sandpaper, 2 rolling hills.
    """
    white = np.random.default_rng(name).standard_normal((SIDE, SIDE), dtype=np.float32)
    spectrum = scipy.fft.rfft2(white)
    rows, columns = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    # Below 1/200 the field would be one slope instead of a texture.
    shaped = scipy.fft.irfft2(spectrum * np.maximum(frequency, 1 / 200) ** -slope, s=(SIDE, SIDE))
    return np.asarray((shaped - shaped.mean()) / shaped.std(), dtype=np.float32)


class Noise:
    """Noise fields at offsets drawn for one picture or one object, so that no two show the same piece."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._offset = rng.integers(0, SIDE, 2)
        self._name = int(rng.integers(3))

    def at(self, u: npt.ArrayLike, v: npt.ArrayLike, slope: float = 1.0) -> Floats:
        """The field at real coordinates in pixels; `u` and `v` broadcast."""
        rows = (np.asarray(u, dtype=np.float32) + self._offset[0]).astype(np.int32) & (SIDE - 1)
        columns = (np.asarray(v, dtype=np.float32) + self._offset[1]).astype(np.int32) & (SIDE - 1)
        return np.asarray(field(self._name, slope)[rows, columns])

    def window(self, height: int, width: int, slope: float = 1.0) -> Floats:
        """A piece of the field of this shape."""
        return self.at(np.arange(height)[:, None], np.arange(width)[None, :], slope)


def smoothstep(low: float, high: float, value: Floats) -> Floats:
    """0 below `low`, 1 above `high`, a smooth ramp between."""
    ramp = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)
