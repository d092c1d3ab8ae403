"""Sun and sky on a canvas: slopes, cast shadows, light that corners swallow, and highlights."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from data_prepare.rendering.canvas import Canvas
from data_prepare.rendering.noise import Floats

SHADOW_STEPS = 22
SHADOW_REACH = 90.0
"""Pixels on the canvas over which a thing can throw its shadow."""


@dataclass(frozen=True)
class Light:
    """Weather and time of day."""

    direction: Floats
    """Unit vector to the sun, in canvas axes."""

    sun: Floats
    """Its colour, shape (3,)."""

    sky: Floats
    shadow: float
    """Share of sunlight that a shadow takes: little under clouds."""


def draw_light(rng: np.random.Generator) -> Light:
    """From a low sun to a covered sky."""
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 1.25)
    direction = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    clear = rng.uniform(0, 1) ** 0.7
    warmth = rng.uniform(-0.04, 0.16) * clear
    sun = (0.45 + 1.1 * clear) * np.array([1 + warmth, 1.0, 1 - 1.3 * warmth])
    sky = (0.62 - 0.3 * clear) * np.array([1 - 0.08 * clear, 1.0, 1 + 0.14 * clear])
    return Light(
        direction.astype(np.float32), sun.astype(np.float32), sky.astype(np.float32), float(0.35 + 0.6 * clear)
    )


def shade(canvas: Canvas, light: Light) -> Floats:
    """Linear light that reaches the camera, shape (size, size, 3)."""
    bump_y, bump_x = np.gradient(canvas.bump)
    normal = np.empty_like(canvas.albedo)
    normal[..., 0] = -np.clip(canvas.slope[..., 0], -4, 4) - bump_x
    normal[..., 1] = -np.clip(canvas.slope[..., 1], -4, 4) - bump_y
    normal[..., 2] = 1
    normal /= np.sqrt(np.einsum("ijk,ijk->ij", normal, normal))[..., None]
    facing = np.maximum(normal @ light.direction, 0)
    lit = facing * (1 - light.shadow * _shadow(canvas.depth, light.direction))
    openness = _openness(canvas.depth)
    # The sky is above; what leans away sees the ground instead.
    sky = openness * (0.55 + 0.45 * normal[..., 2])
    diffuse = canvas.albedo * (lit[..., None] * light.sun + sky[..., None] * light.sky)
    halfway = light.direction + np.array([0, 0, 1], dtype=np.float32)
    halfway /= np.linalg.norm(halfway)
    highlight = canvas.gloss * np.maximum(normal @ halfway, 0) ** 24 * (lit + 0.15)
    return np.asarray(diffuse + highlight[..., None] * light.sun, dtype=np.float32)


def _shadow(depth: Floats, direction: Floats) -> Floats:
    """How much of the sun is hidden, 0 to 1: a walk from each pixel towards the sun through the depth buffer."""
    blocked = np.zeros_like(depth)
    size = len(depth)
    sideways = float(np.hypot(direction[0], direction[1]))
    for distance in np.geomspace(1.5, SHADOW_REACH, SHADOW_STEPS):
        dx, dy = (round(float(direction[axis]) / sideways * distance) for axis in (0, 1))
        rise = float(direction[2]) / sideways * distance
        here = (slice(max(0, -dy), size - max(0, dy)), slice(max(0, -dx), size - max(0, dx)))
        there = (slice(max(0, dy), size + min(0, dy)), slice(max(0, dx), size + min(0, dx)))
        # The sun is no point: the edge of a shadow widens with distance.
        excess = (depth[there] - depth[here] - rise) / (1.0 + 0.08 * distance)
        np.maximum(blocked[here], np.clip(excess, 0, 1), out=blocked[here])
    return gaussian_filter(blocked, 0.7)


def _openness(depth: Floats) -> Floats:
    """Share of the sky that a pixel sees, from how far its surroundings stand above it."""
    narrow = gaussian_filter(depth, 3, mode="nearest") - depth
    wide = gaussian_filter(depth[::2, ::2], 8, mode="nearest").repeat(2, 0).repeat(2, 1) - depth
    return np.asarray(
        np.clip(1 - 0.085 * np.maximum(narrow, 0) - 0.03 * np.maximum(wide, 0), 0.12, 1), dtype=np.float32
    )
