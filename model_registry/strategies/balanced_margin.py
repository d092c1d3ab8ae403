"""The rows nearest to a decision boundary, equally many of each class."""

import numpy as np

from model_registry.strategies.class_balance import balanced
from model_registry.strategies.strategy import Indices, RehearsalPool, Strategy


class BalancedMargin(Strategy):
    """Smallest margins first: rows that the model had wrong or nearly so, which hold its boundaries in place.

    Source: the margin as a measure of doubt, Scheffer, Decomain and Wrobel, Active hidden Markov models for information
    extraction, 2001; taken class by class here, so that no class lacks rows. Wrong labels have small margins too.
    One class: its margins alone decide. Equal margins: the earlier row. The generator is not used.
    """

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        """The first rows of each class by margin."""
        return balanced(old, count, lambda rows: rows[np.argsort(old.margins[rows], kind="stable")])
