"""From an order within each class to a class-balanced choice."""

from collections.abc import Callable

import numpy as np

from model_registry.strategies.strategy import Indices, RehearsalPool


def balanced(old: RehearsalPool, count: int, rank: Callable[[Indices], Indices]) -> Indices:
    """The first rows of every class, equally many as near as the classes' sizes allow; `count` in all.

    `rank` puts the rows of one class, given as indices into `old`, into the order in which they are wanted. What a
    small class cannot give, the others do; a remainder goes to the classes of lower index.
    """
    rankings = [rank(np.flatnonzero(old.labels == label)) for label in np.unique(old.labels)]
    rows = np.concatenate(rankings)
    turns = np.concatenate([np.arange(len(ranking)) for ranking in rankings])
    return rows[np.argsort(turns, kind="stable")[:count]]
