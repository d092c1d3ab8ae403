"""What can happen to a picture on its way: each corruption is one function and one line in `CORRUPTIONS`.

Pictures are arrays of shape (height, width) or (height, width, channels) of an unsigned type, L, LA, RGB or RGBA,
and are changed in place. Sides are fractions of the shorter side, so that any size of picture works.
"""

import math
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

COUNT: Final = (5, 10)
"""Boxes or patches in a picture at severity 3, both ends included."""

SIDE: Final = (0.2, 0.4)
"""Side of a box or patch at severity 3: 100 to 200 of 500 pixels."""

LINE_WIDTH: Final = (0.1, 0.4)
CELLS: Final = 10
"""Cells a side of a mosaic patch."""


class Corruption(Protocol):
    """Changes `pixels` in place. The same state of `rng` and the same severity give the same pixels."""

    def __call__(self, pixels: Pixels, rng: np.random.Generator, severity: int) -> None:
        """Corrupt one picture; severity 1 to 5, 3 is the reference."""


class Box(NamedTuple):
    """A rectangle inside the picture, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def region(self) -> tuple[slice, slice]:
        """The index of its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def strength(severity: int) -> float:
    """Factor on count and size: 0.5, 0.75, 1, 1.25, 1.5 for severity 1 to 5."""
    return (severity + 1) / 4


def draw_boxes(rng: np.random.Generator, width: int, height: int, severity: int) -> list[Box]:
    """Boxes that lie wholly inside a picture of this size; they may overlap."""
    fewest, most = (round(count * strength(severity)) for count in COUNT)
    boxes = []
    for _ in range(rng.integers(fewest, most, endpoint=True)):
        box_width, box_height = (_length(rng, SIDE, width, height, severity) for _ in range(2))
        left = int(rng.integers(0, width - box_width, endpoint=True))
        top = int(rng.integers(0, height - box_height, endpoint=True))
        boxes.append(Box(left, top, box_width, box_height))
    return boxes


def _length(rng: np.random.Generator, fractions: tuple[float, float], width: int, height: int, severity: int) -> int:
    """Pixels between two fractions of the shorter side, at least one."""
    return max(1, round(rng.uniform(*fractions) * strength(severity) * min(width, height)))


def random_boxes(pixels: Pixels, rng: np.random.Generator, severity: int) -> None:
    """White, opaque boxes."""
    height, width = pixels.shape[:2]
    for box in draw_boxes(rng, width, height, severity):
        pixels[box.region] = np.iinfo(pixels.dtype).max


def mosaic(pixels: Pixels, rng: np.random.Generator, severity: int) -> None:
    """Patches of 10×10 cells, each cell the mean of what it hides; a patch of fewer pixels keeps them all."""
    height, width = pixels.shape[:2]
    for box in draw_boxes(rng, width, height, severity):
        pixels[box.region] = _cell_means(pixels[box.region])


def _cell_means(patch: Pixels) -> npt.NDArray[np.float64]:
    total: npt.NDArray[np.float64] = patch.astype(np.float64)
    sizes = []
    for axis in (0, 1):
        edges = np.linspace(0, patch.shape[axis], min(CELLS, patch.shape[axis]) + 1).astype(int)
        total = np.add.reduceat(total, edges[:-1], axis=axis)
        sizes.append(np.diff(edges))
    area = np.outer(*sizes).reshape(total.shape[:2] + (1,) * (patch.ndim - 2))
    means: npt.NDArray[np.float64] = np.rint(total / area)
    return means.repeat(sizes[0], axis=0).repeat(sizes[1], axis=1)


def random_line(pixels: Pixels, rng: np.random.Generator, severity: int) -> None:
    """One black, opaque line from edge to edge, at any angle, through a pixel of the middle half of the picture."""
    height, width = pixels.shape[:2]
    half_width = rng.uniform(*LINE_WIDTH) * strength(severity) * min(width, height) / 2
    angle = rng.uniform(0, math.pi)
    row, column = (int(rng.integers(size // 4, size - 1 - size // 4, endpoint=True)) for size in (height, width))
    rows, columns = np.ogrid[:height, :width]
    distance = np.abs((columns - column) * math.sin(angle) - (rows - row) * math.cos(angle))
    # A line of less than a pixel would slip between pixels.
    line = distance <= max(half_width, 0.5)
    if pixels.ndim == 2:
        pixels[line] = 0
        return
    has_alpha = pixels.shape[2] in (2, 4)
    black = np.zeros(pixels.shape[2], dtype=pixels.dtype)
    black[-1] = np.iinfo(pixels.dtype).max if has_alpha else 0
    pixels[line] = black


def mixed(pixels: Pixels, rng: np.random.Generator, severity: int) -> None:
    """One of the others, drawn for each picture."""
    choices: tuple[Corruption, ...] = (random_boxes, mosaic, random_line)
    choices[rng.integers(len(choices))](pixels, rng, severity)


CORRUPTIONS: Final[dict[str, Corruption]] = {
    "random_boxes": random_boxes,
    "mosaic": mosaic,
    "random_line": random_line,
    "mixed": mixed,
}
