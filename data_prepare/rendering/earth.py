"""The class `ground`: soil, sand and gravel, from dust to clods and pebbles."""

import numpy as np

from data_prepare.rendering.canvas import Canvas, Shader, Surface
from data_prepare.rendering.cargo import Heap, draw_heap
from data_prepare.rendering.noise import Floats, Noise, smoothstep
from data_prepare.rendering.palette import mix, mottled, pick
from data_prepare.rendering.solids import broken, ellipsoid, rotation
from data_prepare.rendering.truck_bed import draw_wall, lay_bed

COLOURS = (
    (96, 72, 52), (140, 104, 72), (190, 160, 116), (150, 84, 56), (72, 62, 54), (166, 154, 138), (204, 190, 160),
    (122, 116, 108), (112, 92, 66),
)  # fmt: skip


def render_ground(canvas: Canvas, rng: np.random.Generator) -> None:
    """One kind of earth with a second one in it; clods and stones lie on it, few or many."""
    colour = pick(rng, COLOURS, 0.13)
    second = 0.5 * colour + 0.5 * pick(rng, COLOURS)
    heap = draw_heap(rng)
    _lay_earth(canvas, rng, heap, colour, second)
    coarse, pebbles = rng.uniform(), rng.uniform() < 0.4
    largest = rng.uniform(10, 34 if pebbles else 60)
    for share in np.sort(rng.uniform(0, 1, int(5 + heap.share * (15 + 150 * coarse)))):
        size = 4 + largest * share**3
        piece = ellipsoid(size, size * rng.uniform(0.6, 0.95), size * rng.uniform(0.5, 0.8))
        piece = broken(piece, rng, 3 if pebbles else 7, 0.3)
        own = second if rng.uniform() < 0.2 else colour
        shader = _clod_shader(rng, own * np.float32(np.exp(rng.normal(0, 0.25 if pebbles else 0.1))), pebbles)
        turned = rotation(*rng.uniform(0, 2 * np.pi, 3))
        rough = size * (0.015 if pebbles else 0.09)
        canvas.draw(piece, turned, heap.resting_place(canvas.depth, rng, size * 0.7, 0.35), shader, rough)


def _lay_earth(canvas: Canvas, rng: np.random.Generator, heap: Heap, colour: Floats, second: Floats) -> None:
    """Tipped heaps, with ripples or wheel marks now and then; the bed shows where they end."""
    paint = lay_bed(canvas, rng)
    bed = canvas.albedo.copy(), canvas.bump.copy(), canvas.gloss.copy()
    noise = Noise(rng)
    points = canvas.ground_points()
    u, v = points[..., 0], points[..., 1]
    heaps, lumps, fine = noise.at(u * 0.8, v * 0.8, 2.2), noise.at(v, u, 1.5), noise.at(u, v, 0.7)
    height = rng.uniform(8, 22) * heaps + rng.uniform(0.8, 5) * lumps
    if rng.uniform() < 0.25:
        height = height + 2.2 * np.sin((u + 8 * lumps) / rng.uniform(4, 9))
    albedo = mottled(colour, (fine, rng.uniform(0.08, 0.25)), (lumps, 0.12))
    albedo = mix(albedo, second, smoothstep(0.3, 1.8, noise.at(v * 0.9, u * 0.9, 1.8)) * rng.uniform(0.1, 0.5))
    # Moist in the hollows.
    albedo = albedo * (1 - 0.4 * smoothstep(0.0, -1.6, heaps))[..., None]
    axis = np.arange(canvas.size, dtype=np.float32) / canvas.size
    height = height + 22 * (1.5 - 0.6 * heap.distance(axis[None, :], axis[:, None]) ** 2)
    bare = smoothstep(1.5, -1.5, height)
    albedo, bump = mix(albedo, bed[0], bare), rng.uniform(0.5, 1.5) * fine
    bump, gloss, height = bump + (bed[1] - bump) * bare, bed[2] * bare, np.maximum(height, 0)
    canvas.lay(np.asarray(height, dtype=np.float32), Surface(np.asarray(albedo, dtype=np.float32), bump, gloss))
    if rng.uniform() < 0.25:
        draw_wall(canvas, rng, paint)


def _clod_shader(rng: np.random.Generator, colour: Floats, pebble: bool) -> Shader:
    noise = Noise(rng)

    def shader(points: Floats, _: object) -> Surface:
        u, v = points[:, 0] + 0.7 * points[:, 2], points[:, 1] - 0.7 * points[:, 2]
        fine, lump = noise.at(u, v, 0.7), noise.at(v, u, 1.4)
        albedo = mottled(colour, (fine, 0.08 if pebble else 0.16), (lump, 0.1))
        return Surface(
            albedo, (0.15 if pebble else 0.9) * fine + (0.2 if pebble else 1.0) * lump, 0.1 if pebble else 0.0
        )

    return shader
