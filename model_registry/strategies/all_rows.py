"""Full rehearsal: everything."""

import numpy as np

from model_registry.strategies.strategy import Indices, RehearsalPool, Strategy


class AllRows(Strategy):
    """All old rows and all new ones, "joint training": what a budget is measured against.

    Source: De Lange et al., A continual learning survey: defying forgetting in classification tasks, 2021.
    Knows no budget; any number of classes.
    """

    budgeted = False

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        """Every row."""
        return np.arange(len(old.labels))
