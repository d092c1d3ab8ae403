"""Which of the old day's images a training run sees again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.cli import UserError
from common.pictures.embeddings import FloatArray
from model_registry.data.days import CLEAN, Day
from model_registry.settings import DEFAULT_BUDGET
from model_registry.strategies import STRATEGIES, Indices, RehearsalPool, select
from model_registry.training.head import fit_head, margins


@dataclass(frozen=True)
class Recipe:
    """What a user decides about a training run."""

    seed: int = 0
    """Of the split, and of what the strategy draws."""

    strategy: str = CLEAN
    """One of `STRATEGIES`: which rows of monday are trained on, and whether those of tuesday are."""

    budget: float = DEFAULT_BUDGET
    """Share of monday's training rows that a strategy with a budget may take."""


def rehearsal_pool(embeddings: FloatArray, targets: npt.NDArray[np.int64]) -> RehearsalPool:
    """What a strategy chooses from, with the margins of a head that is fitted on nothing else.

    Not the champion's margins: it may have been fitted on rows that are held out here.
    """
    return RehearsalPool(embeddings, targets, margins(fit_head(embeddings, targets), embeddings, targets))


def select_rehearsal(clean: Day, embeddings: FloatArray, recipe: Recipe) -> Indices:
    """Which of monday's images are trained on."""
    pool = clean.training
    old = rehearsal_pool(embeddings[pool], clean.targets[pool])
    return pool[select(STRATEGIES[recipe.strategy], old, recipe.budget, np.random.default_rng(recipe.seed))]


def require_classes(targets: npt.NDArray[np.int64], classes: Sequence[str], recipe: Recipe) -> None:
    """`UserError` when a class has no image among `targets`, those to train on."""
    missing = [name for index, name in enumerate(classes) if index not in targets]
    if missing:
        raise UserError(
            f"strategy {recipe.strategy} leaves no image to train on of {', '.join(missing)}: "
            "raise --budget, choose a balanced strategy, or insert labelled rows of every class"
        )
