"""Rows whose mean is the mean of their class."""

import numpy as np

from common.pictures.embeddings import FloatArray
from model_registry.strategies.class_balance import balanced
from model_registry.strategies.strategy import Indices, RehearsalPool, Strategy


class Herding(Strategy):
    """Row by row the one that brings the mean of those chosen nearest to the mean of all, within each class.

    Embeddings are scaled to length 1 first, as in the source; one of length 0 stays as it is.
    Source: Welling, Herding dynamical weights to learn, 2009; as a memory in Rebuffi et al., iCaRL: incremental
    classifier and representation learning, 2017.
    One class: that class's mean. Equally good rows: the earlier one. The generator is not used.
    """

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        """The first rows of each class by herding."""
        return balanced(old, count, lambda rows: rows[herding_order(old.embeddings[rows], min(count, len(rows)))])


def herding_order(embeddings: FloatArray, count: int) -> Indices:
    """The first `count` of the rows [N, D] in herding order."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    points = embeddings / np.where(lengths == 0, 1, lengths)
    mean = points.mean(axis=0)
    squares = (points**2).sum(axis=1)
    total = np.zeros_like(mean)
    left = np.ones(len(points), dtype=bool)
    order = np.empty(count, dtype=np.intp)
    for turn in range(count):
        # |total + point - (turn + 1) mean|², without what is the same for every point.
        distance = squares + 2 * points @ (total - (turn + 1) * mean)
        order[turn] = np.argmin(np.where(left, distance, np.inf))
        total += points[order[turn]]
        left[order[turn]] = False
    return order
