"""The empty bed of a truck, the class `background`: painted and worn metal, asphalt, and the walls around."""

import numpy as np

from data_prepare.rendering.canvas import Canvas, Shader, Surface
from data_prepare.rendering.noise import Floats, Noise, smoothstep
from data_prepare.rendering.palette import DUSTS, linear, mix, mottled, pick
from data_prepare.rendering.solids import box, rotation

PAINTS = (
    (150, 48, 40), (52, 84, 130), (62, 108, 80), (128, 130, 134), (70, 74, 80), (176, 150, 70),
    (196, 194, 188), (96, 78, 66), (160, 96, 56), (88, 110, 124),
)  # fmt: skip
RUST = linear((112, 64, 40))
STEEL = linear((158, 160, 164))


def render_background(canvas: Canvas, rng: np.random.Generator) -> None:
    """Nothing on board: a metal bed, now and then the asphalt of the yard."""
    if rng.uniform() < 0.22:
        _lay_asphalt(canvas, rng)
        return
    paint = lay_bed(canvas, rng)
    for _ in range(rng.integers(0, 3)):
        draw_wall(canvas, rng, paint)


def lay_bed(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Cover the canvas with a metal floor; returns its paint."""
    noise = Noise(rng)
    paint = pick(rng, PAINTS)
    points = canvas.ground_points()
    along, across = points[..., 0], points[..., 1]
    relief = _relief(rng, along, across)
    surface = worn_metal(noise, paint, along, across, rng.uniform(-0.4, 1.6), rng.uniform(0, 1))
    dust = smoothstep(0.2, 1.6, noise.at(along * 0.8, across * 0.8, 1.8) + rng.uniform(-1.2, 0.9))
    albedo = mix(surface.albedo, pick(rng, DUSTS), dust * 0.75)
    canvas.lay(relief, Surface(albedo, surface.bump, surface.gloss * (1 - dust)))
    return paint


def _relief(rng: np.random.Generator, along: Floats, across: Floats) -> Floats:
    """Ribs, a chequer pattern or plain sheets, with the seams between sheets."""
    period = rng.uniform(34, 120)
    phase = np.abs((across + rng.uniform(0, period)) % period / period - 0.5) * 2
    at_seam = np.abs((along + rng.uniform(0, 300)) % rng.uniform(220, 420) - 100) < 1.3
    seam = np.asarray(at_seam * -2.0, dtype=np.float32)
    kind = rng.uniform()
    if kind < 0.6:
        edge = rng.uniform(0.35, 0.75)
        return np.asarray(rng.uniform(3, 11) * smoothstep(edge, edge + 0.14, phase) + seam, dtype=np.float32)
    if kind < 0.8:
        return np.asarray(_chequer(along, across, rng.uniform(15, 26)) + seam)
    return seam


def _chequer(along: Floats, across: Floats, period: float) -> Floats:
    """Raised lozenges, every second one turned by a right angle."""
    u, v = along / period, across / period
    column, row = np.floor(u), np.floor(v)
    turned = (column + row) % 2 == 0
    du, dv = u - column - 0.5, v - row - 0.5
    first, second = (du + dv) * 0.7071, (du - dv) * 0.7071
    length, width = np.where(turned, first, second), np.where(turned, second, first)
    inside = 1 - (length / 0.52) ** 2 - (width / 0.17) ** 2
    return np.asarray(1.8 * np.clip(inside * 1.5, 0, 1), dtype=np.float32)


def worn_metal(noise: Noise, paint: Floats, u: Floats, v: Floats, wear: float, scratched: float) -> Surface:
    """Paint with rust that eats through it and scratches down to steel; `wear` from -1 (new) to 2."""
    rough = noise.at(u, v, 1.4) + 0.5 * noise.at(v, u, 0.8)
    rust = smoothstep(1.5, 2.0, rough + wear * 0.8)
    streak = noise.at(u * 0.06, v * 1.0, 0.6) + 0.3 * noise.at(u, v, 0.5)
    scratch = smoothstep(2.1, 2.5, streak + scratched * 0.9) * (1 - rust)
    fine = noise.at(u, v, 0.5)
    albedo = mottled(paint, (noise.at(v, u, 2.0), 0.13), (fine, 0.04))
    albedo = mix(albedo, mottled(RUST, (fine, 0.25), (rough, 0.2)), rust)
    albedo = mix(albedo, STEEL, scratch * 0.8)
    return Surface(albedo, 0.5 * rust * fine + 0.06 * fine - 0.5 * scratch, 0.35 * (1 - rust) + 0.1)


def draw_wall(canvas: Canvas, rng: np.random.Generator, paint: Floats) -> None:
    """One side of the bed, with posts, along an edge of the picture."""
    noise, wear = Noise(rng), rng.uniform(-0.6, 1.5)
    angle = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.04)
    outward = np.array([np.cos(angle), np.sin(angle), 0])
    middle = outward * rng.uniform(0.28, 0.42) * canvas.size

    def shader(points: Floats, _: object) -> Surface:
        return worn_metal(noise, paint, points[:, 0], points[:, 1] + points[:, 2], wear, 0.4)

    _draw_at(canvas, (600, 10, 90), angle + np.pi / 2, middle, shader)
    spacing = rng.uniform(60, 150)
    along = np.array([-outward[1], outward[0], 0])
    for index in range(-4, 5):
        _draw_at(canvas, (14, 22, 96), angle + np.pi / 2, middle + along * index * spacing, shader)


def _draw_at(canvas: Canvas, sides: tuple[float, float, float], yaw: float, middle: Floats, shader: Shader) -> None:
    centre = canvas.view @ np.array([middle[0], middle[1], sides[2] / 2]) + [canvas.size / 2, canvas.size / 2, 0]
    canvas.draw(box(*sides), rotation(yaw, 0, 0), (centre[0], centre[1], centre[2]), shader, 0.0)


def _lay_asphalt(canvas: Canvas, rng: np.random.Generator) -> None:
    noise = Noise(rng)
    points = canvas.ground_points()
    u, v = points[..., 0], points[..., 1]
    grain, broad = noise.at(u, v, 0.35), noise.at(u, v, 2.0)
    albedo = mottled(pick(rng, ((74, 74, 76), (104, 102, 100), (138, 132, 122))), (grain, 0.3), (broad, 0.15))
    crack = smoothstep(0.05, 0.02, np.abs(noise.at(v * 0.9, u * 0.9, 2.0) - 0.2) + 0.03 * (broad < 0))
    albedo = albedo * (1 - 0.8 * crack[..., None])
    if rng.uniform() < 0.4:
        stripe = np.abs(u * 0.9 + v * 0.3 - rng.uniform(-90, 90)) < rng.uniform(14, 30)
        worn = smoothstep(1.2, 0.2, noise.at(v, u, 1.2))
        albedo = mix(albedo, linear((214, 208, 190)), stripe * worn * 0.85)
    canvas.lay(0.6 * broad, Surface(np.asarray(albedo, dtype=np.float32), 0.9 * grain - 2 * crack, 0.12))
