"""Pairs of rows that look alike but are of different classes, whatever "alike" is measured by."""

from typing import ClassVar, Literal

import numpy as np
from scipy.spatial.distance import cdist

from model_registry.strategies.strategy import Indices, RehearsalPool, Strategy


class ContrastivePairs(Strategy):
    """A class by lot, a row of it by lot, and the nearest row of any other class; both leave the pool. And so on.

    Both members count. An odd budget ends with half a pair.
    Source: Dasarathy, Nearest unlike neighbor (NUN): an aid to decision confidence estimation, 1995; Tomek, Two
    modifications of CNN, 1976, for close pairs across a class boundary.
    One class, or only one left in the pool: there are no pairs, and rows are drawn by lot.
    """

    metric: ClassVar[Literal["cityblock", "euclidean", "cosine"]]

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        """Anchors and partners in turn."""
        points = old.embeddings.astype(np.float64)
        left = np.ones(len(points), dtype=bool)
        chosen: list[np.intp] = []

        def take(row: np.intp) -> None:
            chosen.append(row)
            left[row] = False

        while len(chosen) < count:
            label = rng.choice(np.unique(old.labels[left]))
            anchor = rng.choice(np.flatnonzero(left & (old.labels == label)))
            take(anchor)
            others = np.flatnonzero(left & (old.labels != label))
            if len(chosen) < count and len(others):
                distances = cdist(points[anchor : anchor + 1], points[others], self.metric)[0]
                # The angle to a row of zeros is not a number: it is nobody's neighbour.
                take(others[np.nan_to_num(distances, nan=np.inf).argmin()])
        return np.array(chosen)
