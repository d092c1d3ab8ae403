"""The class `brick`: heaps and courses of whole and broken bricks, with mortar on them."""

import numpy as np
import numpy.typing as npt

from data_prepare.rendering.canvas import Canvas, Shader, Surface
from data_prepare.rendering.cargo import Heap, draw_heap, lay_floor
from data_prepare.rendering.noise import Floats, Noise, smoothstep
from data_prepare.rendering.palette import DUSTS, linear, mix, mottled, pick
from data_prepare.rendering.solids import box, broken, rotation

COLOURS = (
    (158, 72, 54), (176, 98, 64), (196, 160, 108), (142, 138, 132), (92, 62, 56), (204, 198, 188), (184, 122, 98),
    (120, 56, 48),
)  # fmt: skip
MORTAR = linear((192, 186, 176))
PROPORTIONS = (1.0, 0.48, 0.3)
"""Length, width and thickness of a brick, as shares of its length."""


def render_brick(canvas: Canvas, rng: np.random.Generator) -> None:
    """A heap as it fell, or courses as they were stacked."""
    colour = pick(rng, COLOURS)
    lay_floor(canvas, rng, (colour + pick(rng, DUSTS)) / 2)
    length, heap = rng.uniform(62, 150), draw_heap(rng)
    soiled, holed = rng.uniform(-1.3, 0.7), rng.uniform() < 0.45
    if rng.uniform() < 0.3:
        _draw_courses(canvas, rng, heap, length, colour, soiled, holed)
        return
    count = int(np.clip(3.4 * (canvas.size / length) ** 2 * rng.uniform(0.6, 1.3), 20, 90) * heap.share) + 2
    _draw_crumbs(canvas, rng, heap, colour, length)
    other = pick(rng, COLOURS)
    for _ in range(count):
        piece = box(*(length * side for side in PROPORTIONS))
        if rng.uniform() < 0.5:
            piece = box(length * rng.uniform(0.3, 0.8), *(length * side for side in PROPORTIONS[1:]))
        piece = broken(piece, rng, int(rng.integers(2, 6)), rng.uniform(0.1, 0.38))
        turned = rotation(
            rng.uniform(0, 2 * np.pi), rng.normal(0, 0.3), rng.normal(0, 0.3) + rng.choice([0, np.pi / 2])
        )
        shader = _shader(rng, other if rng.uniform() < 0.12 else colour, length, soiled, holed)
        canvas.draw(
            piece, turned, heap.resting_place(canvas.depth, rng, length * PROPORTIONS[2]), shader, length * 0.006
        )


def _draw_courses(
    canvas: Canvas, rng: np.random.Generator, heap: Heap, length: float, colour: Floats, soiled: float, holed: bool
) -> None:
    """Rows beside and upon each other, each second one shifted by half a brick."""
    sides = np.array([length * side for side in PROPORTIONS])
    if rng.uniform() < 0.5:
        sides[[1, 2]] = sides[[2, 1]]
    gap = sides * rng.uniform(1.01, 1.07)
    yaw = rng.uniform(0, np.pi)
    reach = int(canvas.size * 0.75 / gap[0]) + 1, int(canvas.size * 0.75 / gap[1]) + 1
    for row in range(-reach[1], reach[1] + 1):
        layers = int(rng.integers(1, 3))
        for column in range(-reach[0], reach[0] + 1):
            if rng.uniform() < 0.05:
                continue
            place = np.array([(column + 0.5 * (row % 2)) * gap[0], row * gap[1], gap[2] * layers / 2])
            place += rng.normal(0, 0.012 * length, 3)
            centre = canvas.view @ rotation(yaw, 0, 0) @ place + [canvas.size / 2, canvas.size / 2, 0]
            if heap.distance(centre[0] / canvas.size, centre[1] / canvas.size) > 1.7:
                continue
            piece = broken(box(*sides), rng, 3, 0.12)
            turned = rotation(yaw + rng.normal(0, 0.02), rng.normal(0, 0.015), rng.normal(0, 0.015))
            shader = _shader(rng, colour, length, soiled, holed)
            canvas.draw(piece, turned, (centre[0], centre[1], centre[2]), shader, length * 0.005)


def _draw_crumbs(canvas: Canvas, rng: np.random.Generator, heap: Heap, colour: Floats, length: float) -> None:
    for _ in range(24):
        size = length * rng.uniform(0.06, 0.25)
        piece = broken(box(size, size * 0.8, size * 0.6), rng, 5, 0.4)
        turned = rotation(*rng.uniform(0, 2 * np.pi, 3))
        shader = _shader(rng, MORTAR if rng.uniform() < 0.3 else colour, length, 0, holed=False)
        canvas.draw(piece, turned, heap.resting_place(canvas.depth, rng, size), shader, size * 0.05)


def _shader(rng: np.random.Generator, colour: Floats, length: float, soiled: float, holed: bool) -> Shader:
    """One brick: burnt unevenly, with mortar left on some faces, and rows of holes through the flat sides."""
    noise = Noise(rng)
    own = colour * np.exp(rng.normal(0, 0.16) + rng.normal(0, 0.05, 3)).astype(np.float32)
    coated = rng.normal(soiled, 0.7, 16)

    def shader(points: Floats, faces: npt.NDArray[np.int8]) -> Surface:
        u, v = points[:, 0] + 0.7 * points[:, 2], points[:, 1] - 0.7 * points[:, 2]
        fine, blotch = noise.at(u, v, 0.6), noise.at(v, u, 1.7)
        albedo = mottled(own, (fine, 0.13), (blotch, 0.16))
        coat = smoothstep(1.0, 1.7, blotch + 0.35 * fine + coated[faces].astype(np.float32))
        albedo = mix(albedo, mottled(MORTAR, (fine, 0.12)), coat * 0.9)
        bump = 0.35 * fine + 0.5 * coat + 0.3 * blotch
        if holed:
            hole = _holes(points, faces, length)
            albedo, bump = albedo * (1 - 0.9 * hole[:, None]), bump - 3 * hole
        return Surface(albedo, bump, 0.03)

    return shader


def _holes(points: Floats, faces: npt.NDArray[np.int8], length: float) -> Floats:
    pitch = length * 0.17
    from_middle = np.hypot((points[:, 0] % pitch) - pitch / 2, (points[:, 1] % pitch) - pitch / 2)
    within = (np.abs(points[:, 0]) < length * 0.42) & (np.abs(points[:, 1]) < length * 0.17)
    flat = (faces == 4) | (faces == 5)
    return np.asarray(smoothstep(pitch * 0.36, pitch * 0.3, from_middle) * (within & flat), dtype=np.float32)
