"""Convex solids: what planes, cylinders and ellipsoids have in common, and how they are turned."""

from dataclasses import dataclass, field

import numpy as np

from data_prepare.rendering.noise import Floats


@dataclass(frozen=True)
class Solid:
    """The intersection of half-spaces and quadrics around the origin, lengths in pixels."""

    planes: Floats
    """Shape (n, 4): outward unit normal and distance from the origin."""

    reach: float
    """Radius of a ball that holds it."""

    radii: tuple[Floats, ...] = field(default=())
    """Half axes, shape (3,), of each ellipsoid; an infinite one makes it a cylinder."""


def box(length: float, width: float, thickness: float) -> Solid:
    """A cuboid along x, y and z. Faces in order: +x, -x, +y, -y, +z, -z."""
    half = np.array([length, width, thickness], dtype=np.float32) / 2
    normals = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0) * np.tile([1, -1], 3)[:, None]
    return Solid(np.column_stack([normals, np.repeat(half, 2)]).astype(np.float32), float(np.linalg.norm(half)))


def cylinder(length: float, radius: float) -> Solid:
    """A round bar along x. Face 0 is +x, 1 is -x, 2 the mantle."""
    caps = box(length, 1, 1).planes[:2]
    return Solid(caps, float(np.hypot(length / 2, radius)), (np.array([np.inf, radius, radius], dtype=np.float32),))


def ellipsoid(length: float, width: float, thickness: float) -> Solid:
    """A rounded lump."""
    half = np.array([length, width, thickness], dtype=np.float32) / 2
    return Solid(np.zeros((0, 4), dtype=np.float32), float(half.max()), (half,))


def broken(solid: Solid, rng: np.random.Generator, cuts: int, depth: float) -> Solid:
    """The solid with `cuts` pieces split off at random, each up to the share `depth` of the way to the middle."""
    normals = rng.standard_normal((cuts, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    half = solid.planes[::2, 3] if len(solid.planes) == 6 else solid.radii[0]
    # How far the solid reaches along each normal: a cuboid's corner.
    support = np.abs(normals) @ np.where(np.isfinite(half), half, 0)
    distances = support * (1 - rng.uniform(0.25, 1, cuts) * depth)
    planes = np.concatenate([solid.planes, np.column_stack([normals, distances]).astype(np.float32)])
    return Solid(planes, solid.reach, solid.radii)


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """Matrix from a solid's own axes to the scene's: roll about x, then pitch about y, then yaw about z. Radians."""
    cosines, sines = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, cosines[0], -sines[0]], [0, sines[0], cosines[0]]])
    about_y = np.array([[cosines[1], 0, sines[1]], [0, 1, 0], [-sines[1], 0, cosines[1]]])
    about_z = np.array([[cosines[2], -sines[2], 0], [sines[2], cosines[2], 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float32)
