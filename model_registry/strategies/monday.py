"""No adaptation: the old rows only."""

import numpy as np

from model_registry.strategies.strategy import Indices, RehearsalPool, Strategy


class Monday(Strategy):
    """All old rows, no new ones: the model as it was, the lower bound on the new day.

    Knows no budget; any number of classes.
    """

    uses_new = False
    budgeted = False

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        """Every row."""
        return np.arange(len(old.labels))
