"""The class `wood`: boards, beams and logs, fresh, weathered or painted."""

import numpy as np
import numpy.typing as npt

from data_prepare.rendering.canvas import Canvas, Shader, Surface
from data_prepare.rendering.cargo import Heap, draw_heap, lay_floor
from data_prepare.rendering.noise import Floats, Noise, smoothstep
from data_prepare.rendering.palette import DUSTS, Colour, linear, mix, mottled, pick
from data_prepare.rendering.solids import Solid, box, cylinder, rotation

TIMBERS: tuple[Colour, ...] = (
    (204, 166, 116), (176, 128, 82), (140, 134, 124), (118, 108, 98), (150, 96, 64), (98, 72, 54), (186, 174, 152),
    (160, 140, 112),
)  # fmt: skip
PAINTS: tuple[Colour, ...] = ((206, 202, 192), (92, 124, 104), (84, 108, 140), (156, 70, 56), (184, 160, 92))
BARKS: tuple[Colour, ...] = ((92, 78, 66), (122, 106, 90), (150, 142, 132), (74, 58, 48), (134, 96, 70))


def render_wood(canvas: Canvas, rng: np.random.Generator) -> None:
    """A heap of boards, boards in parallel, or logs from the side or the end."""
    timber, heap = pick(rng, TIMBERS, 0.12), draw_heap(rng)
    lay_floor(canvas, rng, (timber + pick(rng, DUSTS)) / 2)
    kind = rng.uniform()
    if kind < 0.5:
        _draw_boards(canvas, rng, heap, timber, spread=np.pi)
    elif kind < 0.7:
        _draw_boards(canvas, rng, heap, timber, spread=0.05)
    else:
        _draw_logs(canvas, rng, heap, timber, upright=kind > 0.87)


def _draw_boards(canvas: Canvas, rng: np.random.Generator, heap: Heap, timber: Floats, spread: float) -> None:
    """`spread` is the deviation of their direction in radians."""
    length, width = rng.uniform(180, 520), rng.uniform(22, 60)
    thickness = width * rng.uniform(0.12, 0.7)
    direction = rng.uniform(0, np.pi)
    paint = pick(rng, PAINTS) if rng.uniform() < 0.4 else None
    for _ in range(int(np.clip(5 * canvas.size**2 / (length * width), 16, 60) * heap.share + 2)):
        sides = (length * rng.uniform(0.4, 1), width * rng.uniform(0.6, 1.1), thickness)
        piece = box(*sides)
        if rng.uniform() < 0.5:
            piece = _splintered(piece, rng)
        turned = rotation(rng.normal(direction, spread), rng.normal(0, 0.05), rng.normal(0, 0.12))
        if rng.uniform() < 0.15:
            turned = turned @ rotation(0, 0, np.pi / 2)
        shader = _board_shader(rng, timber, paint if rng.uniform() < 0.6 else None, sides[1])
        canvas.draw(piece, turned, heap.resting_place(canvas.depth, rng, thickness), shader, 0.15)


def _splintered(piece: Solid, rng: np.random.Generator) -> Solid:
    """Both ends broken off at a slant."""
    slants = np.column_stack([rng.choice([-1, 1], 3), rng.normal(0, 0.5, 3), rng.normal(0, 0.3, 3)])
    slants /= np.linalg.norm(slants, axis=1, keepdims=True)
    planes = np.column_stack([slants, piece.planes[0, 3] * rng.uniform(0.75, 0.95, 3)])
    return Solid(np.concatenate([piece.planes, planes]).astype(np.float32), piece.reach)


def _draw_logs(canvas: Canvas, rng: np.random.Generator, heap: Heap, timber: Floats, upright: bool) -> None:
    """Logs that lie on each other, or the cut ends of logs that stand side by side."""
    radius, bark = rng.uniform(14, 46), pick(rng, BARKS)
    direction, spread = rng.uniform(0, np.pi), rng.choice([0.06, 0.5])
    ground = canvas.depth.copy()
    for _ in range(int(np.clip((0.9 if upright else 0.25) * (canvas.size / radius) ** 2, 18, 130) * heap.share + 2)):
        own = radius * rng.uniform(0.5, 1.1)
        if upright:
            piece = cylinder(80, own)
            turned = rotation(0, np.pi / 2 + rng.normal(0, 0.12), rng.uniform(0, 2 * np.pi))
            place = heap.resting_place(ground, rng, rng.uniform(70, 90), 0.3)
        else:
            piece = cylinder(rng.uniform(120, 420), own)
            turned = rotation(rng.normal(direction, spread), rng.normal(0, 0.08), rng.uniform(0, 2 * np.pi))
            place = heap.resting_place(canvas.depth, rng, 2 * own, 0.3)
        canvas.draw(piece, turned, place, _log_shader(rng, timber, bark, own), own * 0.05)


def _board_shader(rng: np.random.Generator, timber: Floats, paint: Floats | None, width: float) -> Shader:
    """Grain runs along x; knots turn it aside; paint peels off along it."""
    noise = Noise(rng)
    own = timber * np.exp(rng.normal(0, 0.14) + rng.normal(0, 0.04, 3)).astype(np.float32)
    density, peeled = rng.uniform(0.5, 1.4), rng.uniform(-1.5, 0.8)
    knots = np.column_stack([rng.uniform(-200, 200, 4), rng.uniform(-0.4, 0.4, 4) * width, rng.uniform(2, 6, 4)])

    def shader(points: Floats, faces: npt.NDArray[np.int8]) -> Surface:
        u, v = points[:, 0], points[:, 1] + 0.8 * points[:, 2]
        across, knot = v.copy(), np.zeros_like(v)
        for x, y, size in knots:
            distance = np.hypot((u - x) / 1.8, v - y) / size
            across += np.sign(v - y) * size * np.exp(-distance / 1.5).astype(np.float32)
            knot = np.maximum(knot, smoothstep(1.15, 0.75, distance))
        rings = noise.at(u * 0.035, across * density, 1.0) + 0.5 * noise.at(u * 0.08, across * 2.2, 0.5)
        pores = noise.at(u * 0.15, v * 1.6, 0.3)
        end = (faces < 2) | (faces > 5)
        rings = np.where(end, noise.at(v, points[:, 2] * 3, 0.9), rings).astype(np.float32)
        albedo = mottled(own, (rings, 0.24), (pores, 0.09), (noise.at(u * 0.5, v, 1.8), 0.1))
        albedo = mix(albedo, own * np.float32(0.28), knot * 0.85)
        split = smoothstep(2.3, 2.7, noise.at(u * 0.02, v * 1.2, 0.4))
        bump = 0.3 * rings + 0.2 * pores - 1.5 * split
        albedo = albedo * (1 - 0.7 * split)[:, None]
        if paint is not None:
            cover = smoothstep(-0.2, 0.1, noise.at(u * 0.3, v, 1.4) - peeled) * ~end
            albedo, bump = mix(albedo, mottled(paint, (pores, 0.05)), cover * 0.92), bump + 0.5 * cover
        return Surface(albedo, bump, 0.06)

    return shader


def _log_shader(rng: np.random.Generator, timber: Floats, bark: Floats, radius: float) -> Shader:
    """Furrowed bark around, growth rings and drying cracks at the ends."""
    noise = Noise(rng)
    rim = linear((70, 56, 46))
    own = timber * np.float32(np.exp(rng.normal(0, 0.12)))
    ring_width = rng.uniform(2.2, 4.5)

    def shader(points: Floats, faces: npt.NDArray[np.int8]) -> Surface:
        angle = np.arctan2(points[:, 2], points[:, 1])
        from_pith = np.hypot(points[:, 1], points[:, 2]) + 0.8 * noise.at(points[:, 1], points[:, 2], 1.8)
        furrow = noise.at(points[:, 0] * 0.25, angle * radius, 0.9)
        fine = noise.at(points[:, 0] + points[:, 1], points[:, 2] - points[:, 1], 0.6)
        outside = mottled(bark, (furrow, 0.3), (fine, 0.12))
        rings = np.sin(from_pith * 2 * np.pi / ring_width).astype(np.float32)
        inside = mottled(own, (rings, 0.13), (fine, 0.08))
        ray = smoothstep(1.5, 1.9, noise.at(angle * 40, from_pith * 0.1, 0.8)) * (from_pith < radius * 0.8)
        inside = mix(inside * (1 - 0.6 * ray)[:, None], rim, smoothstep(radius * 0.88, radius * 0.96, from_pith))
        end = (faces != 2).astype(np.float32)
        bump = end * (0.15 * rings + 0.2 * fine - ray) + (1 - end) * (1.6 * furrow + 0.4 * fine)
        return Surface(mix(outside, inside, end), bump.astype(np.float32), 0.02)

    return shader
