"""What loads have in common: the floor below, dust, and how pieces come to rest on each other."""

import numpy as np

from data_prepare.rendering.canvas import Canvas, Surface
from data_prepare.rendering.noise import Floats, Noise
from data_prepare.rendering.palette import mottled
from data_prepare.rendering.truck_bed import draw_wall, lay_bed


def lay_floor(canvas: Canvas, rng: np.random.Generator, crumbs: Floats) -> None:
    """Under a load: the bare bed, or what crumbled off the load and covers it; a wall may show."""
    paint = lay_bed(canvas, rng)
    if rng.uniform() < 0.65:
        noise = Noise(rng)
        points = canvas.ground_points()
        fine = noise.at(points[..., 0], points[..., 1], 0.7)
        broad = noise.at(points[..., 1], points[..., 0], 1.8)
        canvas.lay(2.5 * broad, Surface(mottled(crumbs, (fine, 0.2), (broad, 0.12)), 0.8 * fine))
    if rng.uniform() < 0.3:
        draw_wall(canvas, rng, paint)


def resting_place(
    depth: Floats, rng: np.random.Generator, thickness: float, sunk: float = 0.2
) -> tuple[float, float, float]:
    """Canvas coordinates for the middle of a piece that falls somewhere onto a surface of this depth.

    `sunk` is the share of its thickness by which it settles between others.
    """
    x, y = rng.uniform(-0.05, 1.05, 2) * len(depth)
    column, row = (int(np.clip(value, 0, len(depth) - 1)) for value in (x, y))
    return float(x), float(y), float(depth[row, column]) + thickness * (0.5 - sunk)
