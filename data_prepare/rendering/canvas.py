"""A depth buffer that solids are cast onto: each pixel keeps the nearest surface, its slope, colour and gloss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from data_prepare.rendering.noise import Floats, Noise
from data_prepare.rendering.solids import Solid


@dataclass(frozen=True)
class Surface:
    """What a material looks like at n points."""

    albedo: Floats
    """Shape (n, 3): linear reflectance, 0 to 1."""

    bump: Floats | float = 0.0
    """Height of the fine relief in pixels."""

    gloss: Floats | float = 0.0
    """Strength of the highlight, 0 to 1."""


Shader: TypeAlias = Callable[[Floats, npt.NDArray[np.int8]], Surface]
"""Colours points of shape (n, 3), in the solid's own axes, on faces of shape (n,): plane index, or the count of
planes for a quadric."""


class Canvas:
    """Square buffers of side `size`; x to the right, y down, z towards the viewer, all in pixels."""

    def __init__(self, size: int, view: Floats, noise: Noise) -> None:
        """`view` turns scene axes into canvas axes; the scene's ground plane passes through the middle."""
        self.size, self.view = size, view
        self.depth = np.zeros((size, size), dtype=np.float32)
        self.slope = np.zeros((size, size, 2), dtype=np.float32)
        self.albedo = np.zeros((size, size, 3), dtype=np.float32)
        self.bump = np.zeros((size, size), dtype=np.float32)
        self.gloss = np.zeros((size, size), dtype=np.float32)
        self._roughness = noise.window(size, size, 1.5)

    def ground_points(self) -> Floats:
        """Scene coordinates, shape (size, size, 3) with z = 0, of the ground that each pixel shows."""
        axis = np.arange(self.size, dtype=np.float32) - self.size / 2
        x, y = np.meshgrid(axis, axis)
        normal = self.view[:, 2]
        z = -(normal[0] * x + normal[1] * y) / normal[2]
        return np.stack([x, y, z], axis=-1) @ self.view

    def lay(self, height: Floats, surface: Surface) -> None:
        """Cover everything with ground of this height above the ground plane, shape (size, size)."""
        points = self.ground_points()
        points[..., 2] = height
        self.depth[:] = points @ self.view[2]
        self.slope[:] = np.stack([np.gradient(self.depth, axis=axis) for axis in (1, 0)], axis=-1)
        self.albedo[:] = surface.albedo.reshape(self.albedo.shape)
        self.bump[:] = np.reshape(surface.bump, self.bump.shape) if np.ndim(surface.bump) else surface.bump
        self.gloss[:] = np.reshape(surface.gloss, self.gloss.shape) if np.ndim(surface.gloss) else surface.gloss

    def draw(
        self, solid: Solid, turned: Floats, centre: tuple[float, float, float], shader: Shader, rough: float
    ) -> None:
        """Cast a solid, turned in the scene by a matrix, with its middle at canvas coordinates `centre`.

        `rough` is the height in pixels by which its surface strays from the ideal one.
        """
        left, top = (max(0, int(centre[axis] - solid.reach)) for axis in (0, 1))
        right, bottom = (min(self.size, int(centre[axis] + solid.reach) + 2) for axis in (0, 1))
        if right - left < 2 or bottom - top < 2:
            return
        window = (slice(top, bottom), slice(left, right))
        x = np.arange(left, right, dtype=np.float32) - centre[0]
        y = (np.arange(top, bottom, dtype=np.float32) - centre[1])[:, None]
        axes = self.view @ turned
        upper, lower, face = _bounds(solid, axes, x, y)
        upper += rough * self._roughness[window]
        visible = (upper > lower) & (upper + centre[2] > self.depth[window])
        if not visible.any():
            return
        rows, columns = np.nonzero(visible)
        near = upper[visible]
        points = x[columns, None] * axes[0] + y[rows] * axes[1] + near[:, None] * axes[2]
        surface = shader(points, face[visible])
        self.depth[window][visible] = near + centre[2]
        self.slope[window][visible] = np.stack([np.gradient(upper, axis=axis)[visible] for axis in (1, 0)], axis=-1)
        self.albedo[window][visible] = surface.albedo
        self.bump[window][visible] = surface.bump
        self.gloss[window][visible] = surface.gloss


def _bounds(solid: Solid, axes: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int8]]:
    """Nearest and farthest z of the solid on each line of sight, and the nearest face; a miss has the first below."""
    shape = (len(y), len(x))
    # Finite, so that slopes of what is never seen stay numbers.
    far = 4 * solid.reach
    upper, lower = np.full(shape, far, dtype=np.float32), np.full(shape, -far, dtype=np.float32)
    face = np.zeros(shape, dtype=np.int8)
    for index, (*normal, distance) in enumerate(solid.planes):
        along_x, along_y, along_z = axes @ np.asarray(normal, dtype=np.float32)
        if abs(along_z) < 1e-3:
            along_z = np.float32(1e-3)
        bound = ((distance - along_x * x) - along_y * y) / along_z
        if along_z > 0:
            face[bound < upper] = index
            np.minimum(upper, bound, out=upper)
        else:
            np.maximum(lower, bound, out=lower)
    for radii in solid.radii:
        scaled = axes / radii
        square = scaled @ scaled.T
        half_linear = square[0, 2] * x + square[1, 2] * y
        constant = square[0, 0] * x * x + 2 * square[0, 1] * x * y + square[1, 1] * y * y - 1
        root = half_linear * half_linear - square[2, 2] * constant
        missed = root < 0
        root = np.sqrt(np.maximum(root, 0))
        bound = (root - half_linear) / square[2, 2]
        face[bound < upper] = len(solid.planes)
        np.minimum(upper, bound, out=upper)
        np.maximum(lower, (-root - half_linear) / square[2, 2], out=lower)
        lower[missed] = np.inf
    return upper, lower, face
