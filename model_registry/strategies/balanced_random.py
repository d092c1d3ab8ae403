"""Rows by lot, equally many of each class."""

import numpy as np

from model_registry.strategies.class_balance import balanced
from model_registry.strategies.strategy import Indices, RehearsalPool, Strategy


class BalancedRandom(Strategy):
    """A random draw within each class.

    Source: the memory of GDumb, Prabhu, Torr and Dokania, GDumb: a simple approach that questions our progress in
    continual learning, 2020.
    One class: the same as `random`. A small class gives all it has, the others the rest.
    """

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        """The first rows of each class, shuffled."""
        return balanced(old, count, rng.permutation)
