"""The class `concrete`: rubble and slabs with stones in their broken faces, cracks, and bars of rusty steel."""

import numpy as np
import numpy.typing as npt

from data_prepare.rendering.canvas import Canvas, Shader, Surface
from data_prepare.rendering.cargo import draw_heap, lay_floor
from data_prepare.rendering.noise import Floats, Noise, smoothstep
from data_prepare.rendering.palette import DUSTS, linear, mix, mottled, pick
from data_prepare.rendering.solids import box, broken, cylinder, rotation

COLOURS = (
    (164, 160, 152), (138, 136, 134), (186, 180, 168), (116, 112, 108), (168, 150, 128), (150, 138, 124),
    (170, 146, 132), (128, 132, 138), (204, 200, 192),
)  # fmt: skip
STONES = tuple(linear(colour) for colour in ((96, 90, 86), (150, 130, 110), (190, 184, 176), (120, 98, 84)))
STEEL = linear((116, 70, 48))


def render_concrete(canvas: Canvas, rng: np.random.Generator) -> None:
    """A few slabs, or rubble of all sizes, mostly dusty."""
    colour, dust = pick(rng, COLOURS, 0.13), pick(rng, DUSTS)
    lay_floor(canvas, rng, (colour + dust) / 2)
    dusty, heap = rng.uniform(-1.3, 0.9), draw_heap(rng)
    largest = rng.uniform(110, 280)
    steel, steepness = rng.uniform() < 0.7, rng.uniform(1.3, 2.6)
    for share in np.sort(rng.uniform(0, 1, 3 + int(heap.share * rng.uniform(36, 64)))):
        # Many small pieces below, the large ones on top among them.
        size = largest * (0.1 + 0.9 * share**steepness)
        flat = rng.uniform(0.2, 0.75)
        piece = broken(box(size, size * rng.uniform(0.55, 1), size * flat), rng, int(rng.integers(5, 11)), 0.6)
        turned = rotation(rng.uniform(0, 2 * np.pi), rng.normal(0, 0.35), rng.normal(0, 0.35))
        centre = heap.resting_place(canvas.depth, rng, size * flat)
        if steel and size > 45 and rng.uniform() < 0.5:
            _draw_bars(canvas, rng, size, turned, centre)
        canvas.draw(piece, turned, centre, _shader(rng, colour, dust, dusty), 0.6 + size * 0.008)
    for _ in range(20):
        size = rng.uniform(6, 22)
        piece = broken(box(size, size * 0.8, size * 0.7), rng, 6, 0.5)
        canvas.draw(
            piece,
            rotation(*rng.uniform(0, 2 * np.pi, 3)),
            heap.resting_place(canvas.depth, rng, size),
            _shader(rng, colour, dust, dusty),
            0.6,
        )


def _draw_bars(
    canvas: Canvas, rng: np.random.Generator, size: float, turned: Floats, centre: tuple[float, float, float]
) -> None:
    """Reinforcement that sticks out of a piece, bent a little."""
    radius = rng.uniform(1.8, 3.8)
    for offset in np.arange(rng.integers(1, 4)) * rng.uniform(12, 30):
        bar = turned @ rotation(rng.normal(0, 0.1), rng.normal(0, 0.12), 0)
        shift = canvas.view @ turned @ np.array([0, offset - 12, rng.uniform(-4, 4)])
        place = (centre[0] + shift[0], centre[1] + shift[1], centre[2] + shift[2])
        canvas.draw(cylinder(size * rng.uniform(1.2, 1.9), radius), bar, place, _bar_shader(rng), 0.0)


def _bar_shader(rng: np.random.Generator) -> Shader:
    noise = Noise(rng)

    def shader(points: Floats, _: object) -> Surface:
        ribs = np.sin((points[:, 0] + 0.6 * points[:, 1]) * 1.3).astype(np.float32)
        fine = noise.at(points[:, 0], points[:, 1], 0.8)
        return Surface(mottled(STEEL, (fine, 0.25), (ribs, 0.12)), 0.5 * ribs, 0.15)

    return shader


def _shader(rng: np.random.Generator, colour: Floats, dust: Floats, dusty: float) -> Shader:
    """Cast faces (the cuboid's) are smooth with pores and cracks; broken ones show their stones."""
    noise = Noise(rng)
    own = colour * np.float32(np.exp(rng.normal(0, 0.1)))
    crack_level = rng.uniform(-1, 1)

    def shader(points: Floats, faces: npt.NDArray[np.int8]) -> Surface:
        u, v = points[:, 0] + 0.6 * points[:, 2], points[:, 1] - 0.8 * points[:, 2]
        fine, blotch = noise.at(u, v, 0.6), noise.at(v, u, 1.8)
        cast = (faces < 6).astype(np.float32)
        lump = noise.at(u * 1.1, v * 1.1, 1.2) - 0.6 * blotch
        stone = smoothstep(0.5, 0.8, lump) * (1 - cast)
        kind = np.clip((noise.at(v * 0.9, u * 0.9, 1.9) + 2).astype(np.int32), 0, 3)
        pore = smoothstep(1.9, 2.3, noise.at(v, u, 0.9)) * cast
        crack = smoothstep(0.07, 0.02, np.abs(blotch - crack_level)) * cast
        albedo = mottled(own, (fine, 0.09), (blotch, 0.12))
        albedo = mix(albedo, np.stack(STONES)[kind], stone * 0.85)
        albedo = mix(albedo, dust, smoothstep(0.4, 2.0, blotch + 0.3 * fine + dusty) * 0.7)
        albedo = albedo * (1 - 0.65 * np.maximum(pore, crack))[:, None]
        bump = 0.22 * fine + (1 - cast) * (1.5 * lump + 0.8 * fine) + 0.5 * stone - 1.2 * pore - 1.5 * crack
        return Surface(albedo, bump, 0.03)

    return shader
