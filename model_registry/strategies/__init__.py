"""Rehearsal strategies by name. A new one is a file of its own and a line in `STRATEGIES`."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from model_registry.strategies.all_rows import AllRows
from model_registry.strategies.balanced_margin import BalancedMargin
from model_registry.strategies.balanced_random import BalancedRandom
from model_registry.strategies.cp_cosine import CpCosine
from model_registry.strategies.cp_l1norm import CpL1Norm
from model_registry.strategies.cp_l2norm import CpL2Norm
from model_registry.strategies.herding import Herding
from model_registry.strategies.k_centre import KCentre
from model_registry.strategies.monday import Monday
from model_registry.strategies.random_rows import RandomRows
from model_registry.strategies.strategy import Indices, RehearsalPool, Strategy
from model_registry.strategies.tuesday import Tuesday

__all__ = ["BASELINE", "STRATEGIES", "Indices", "RehearsalPool", "Strategy", "select"]

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "monday": Monday(),
        "tuesday": Tuesday(),
        "random": RandomRows(),
        "balanced_random": BalancedRandom(),
        "cp_l1norm": CpL1Norm(),
        "cp_l2norm": CpL2Norm(),
        "cp_cosine": CpCosine(),
        "herding": Herding(),
        "k_centre": KCentre(),
        "balanced_margin": BalancedMargin(),
        "all": AllRows(),
    }
)

BASELINE = "random"
"""What the others are compared with."""


def select(strategy: Strategy, old: RehearsalPool, budget: float, rng: np.random.Generator) -> Indices:
    """The rows of `old` to train on again: sorted, different indices.

    `budget` is a share of the old rows, 0 or more. A strategy that knows a budget gives exactly that many rows
    (rounded), none for 0 and all of them for 1 and above. Those that know none ignore it.
    """
    rows = len(old.labels)
    count = min(round(budget * rows), rows)
    if strategy.budgeted and count == 0:
        return np.empty(0, dtype=np.intp)
    if strategy.budgeted and count == rows:
        return np.arange(rows)
    return np.sort(strategy.choose(old, count, rng))
