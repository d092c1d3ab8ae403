"""No rehearsal: the new rows only."""

import numpy as np

from model_registry.strategies.strategy import Indices, RehearsalPool, Strategy


class Tuesday(Strategy):
    """No old rows. What is lost on them this way is what rehearsal is for.

    Source: McCloskey and Cohen, Catastrophic interference in connectionist networks, 1989.
    Knows no budget; any number of classes.
    """

    budgeted = False

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        """None."""
        return np.empty(0, dtype=np.intp)
