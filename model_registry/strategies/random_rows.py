"""Rows by lot: what every other strategy has to beat."""

import numpy as np

from model_registry.strategies.strategy import Indices, RehearsalPool, Strategy


class RandomRows(Strategy):
    """Every set of `count` rows is equally likely.

    Source: Ratcliff, Connectionist models of recognition memory, 1990; Chaudhry et al., On tiny episodic memories in
    continual learning, 2019, find it hard to beat.
    One class: the same. A small budget may miss a class.
    """

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        """A draw without replacement."""
        return rng.choice(len(old.labels), count, replace=False)
