"""One photograph of one class: the registry of what can lie in a truck bed."""

from typing import Final, Protocol

import numpy as np

from data_prepare.rendering.brick import render_brick
from data_prepare.rendering.camera import CANVAS_SIDE, draw_view, photograph
from data_prepare.rendering.canvas import Canvas
from data_prepare.rendering.concrete import render_concrete
from data_prepare.rendering.earth import render_ground
from data_prepare.rendering.lighting import draw_light, shade
from data_prepare.rendering.noise import Noise
from data_prepare.rendering.truck_bed import render_background
from data_prepare.rendering.wood import render_wood


class Material(Protocol):
    """Fills a canvas with one random scene of a class; all randomness comes from `rng`."""

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Draw onto an empty canvas."""


MATERIALS: Final[dict[str, Material]] = {
    "background": render_background,
    "brick": render_brick,
    "concrete": render_concrete,
    "ground": render_ground,
    "wood": render_wood,
}


def render(class_name: str, side: int, rng: np.random.Generator) -> bytes:
    """A JPEG file of `side` × `side` pixels. The same state of `rng` gives the same bytes."""
    canvas = Canvas(CANVAS_SIDE, draw_view(rng), Noise(rng))
    MATERIALS[class_name](canvas, rng)
    return photograph(shade(canvas, draw_light(rng)), side, rng)
