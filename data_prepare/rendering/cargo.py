"""What loads have in common: how they fill the bed, the floor below, and how pieces come to rest on each other."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from data_prepare.rendering.canvas import Canvas, Surface
from data_prepare.rendering.noise import Floats, Noise
from data_prepare.rendering.palette import mottled
from data_prepare.rendering.truck_bed import draw_wall, lay_bed

FULL: Final = 0.5
"""Share of loads that fill the picture."""

FILLING: Final = (0.6, 1.0)
PARTIAL: Final = (0.14, 0.3)
"""Spreads of loads that fill the picture, and of those that do not."""


@dataclass(frozen=True)
class Heap:
    """Where a load lies, in shares of the canvas: its middle, and the deviation of its pieces from there."""

    middle: tuple[float, float]
    spread: float

    @property
    def share(self) -> float:
        """Of the pieces that would cover the canvas, how many the heap has."""
        return min(1.0, 8 * self.spread**2)

    def distance(self, x: Floats, y: Floats) -> Floats:
        """Of canvas shares to the middle, in deviations."""
        return np.asarray(np.hypot(x - self.middle[0], y - self.middle[1]) / self.spread, dtype=np.float32)

    def resting_place(
        self, depth: Floats, rng: np.random.Generator, thickness: float, sunk: float = 0.2
    ) -> tuple[float, float, float]:
        """Canvas coordinates for the middle of a piece that falls onto a surface of this depth.

        `sunk` is the share of its thickness by which it settles between others.
        """
        place = rng.normal(self.middle, self.spread)
        while place.min() < -0.05 or place.max() > 1.05:
            place = rng.normal(self.middle, self.spread)
        x, y = place * len(depth)
        column, row = (int(np.clip(value, 0, len(depth) - 1)) for value in (x, y))
        return float(x), float(y), float(depth[row, column]) + thickness * (0.5 - sunk)


def draw_heap(rng: np.random.Generator) -> Heap:
    """A load that fills the picture, or one that leaves much of the bed bare."""
    spread = rng.uniform(*FILLING) if rng.uniform() < FULL else rng.uniform(*PARTIAL)
    return Heap((rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)), spread)


def lay_floor(canvas: Canvas, rng: np.random.Generator, crumbs: Floats) -> None:
    """Under a load: the bare bed, or what crumbled off the load and covers it; a wall may show."""
    paint = lay_bed(canvas, rng)
    if rng.uniform() < 0.4:
        noise = Noise(rng)
        points = canvas.ground_points()
        fine = noise.at(points[..., 0], points[..., 1], 0.7)
        broad = noise.at(points[..., 1], points[..., 0], 1.8)
        canvas.lay(2.5 * broad, Surface(mottled(crumbs, (fine, 0.2), (broad, 0.12)), 0.8 * fine))
    if rng.uniform() < 0.3:
        draw_wall(canvas, rng, paint)
