"""Rows that leave no other row far away."""

import numpy as np

from common.pictures.embeddings import FloatArray
from model_registry.strategies.strategy import Indices, RehearsalPool, Strategy


class KCentre(Strategy):
    """Begins with the row nearest to the mean; then always the row that is farthest from those chosen.

    Source: Gonzalez, Clustering to minimize the maximum intercluster distance, 1985; for choosing training data in
    Sener and Savarese, Active learning for convolutional neural networks: a core-set approach, 2018.
    Labels are not looked at, so one class is no special case; outliers come early. The generator is not used.
    """

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        """Farthest-first traversal by Euclidean distance."""
        points = old.embeddings
        squares = (points**2).sum(axis=1)

        def squared_distance(index: np.intp) -> FloatArray:
            squared: FloatArray = squares + squares[index] - 2 * points @ points[index]
            return squared.clip(min=0)

        chosen = np.empty(count, dtype=np.intp)
        chosen[0] = np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()
        nearest = squared_distance(chosen[0])
        nearest[chosen[0]] = -1  # Below every distance: among equal pictures, too, none is taken twice.
        for turn in range(1, count):
            chosen[turn] = nearest.argmax()
            nearest = np.minimum(nearest, squared_distance(chosen[turn]))
            nearest[chosen[turn]] = -1
        return chosen
