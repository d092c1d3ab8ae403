"""What a rehearsal strategy is: a choice of old rows that join the new ones in training."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from common.pictures.embeddings import FloatArray

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class RehearsalPool:
    """The training rows of the days before, N of them, in the caller's order."""

    embeddings: FloatArray
    """float32 [N, 1280]."""

    labels: npt.NDArray[np.int64]
    """[N] class indices."""

    margins: FloatArray
    """[N] how far a model trained on the old rows is from changing its mind: the score of the row's own class minus the
    best other class's, in log-odds; negative where it is wrong."""


class Strategy(Protocol):
    """One way to choose. It has no state: the same rows, count and generator state give the same choice."""

    uses_new: ClassVar[bool] = True
    """Whether the new rows are trained on."""

    budgeted: ClassVar[bool] = True
    """Whether the count matters. If so, `select` calls `choose` with 0 < count < N only."""

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        """`count` different indices into `old`, in any order. `old` must not be changed."""
        ...
