"""Every strategy at every budget, trained and measured on one split of the images; many splits at the same time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.metrics import recall_score

from model_registry.comparison.paired_images import PairedImages
from model_registry.data.dataset import split
from model_registry.strategies import STRATEGIES, Indices, RehearsalPool, select
from model_registry.training.head import fit_head
from model_registry.training.rehearsal import rehearsal_pool


@dataclass(frozen=True)
class StrategyConfig:
    """A strategy at a budget, a share of the old rows; None where the strategy knows no budget."""

    strategy: str
    budget: float | None

    @property
    def name(self) -> str:
        """For people."""
        return self.strategy if self.budget is None else f"{self.strategy} {self.budget * 100:g}%"


@dataclass(frozen=True)
class Measurement:
    """One contender's recall of each class, 0 to 1, on the held-out images of one split, in both their forms."""

    config: StrategyConfig
    split: int
    rehearsed: int
    monday: float
    tuesday: float
    monday_recall: tuple[float, ...]
    tuesday_recall: tuple[float, ...]


def strategy_configs(budgets: Sequence[float]) -> list[StrategyConfig]:
    """All of them, in the order of the registry; those of one budget together."""
    alone = [StrategyConfig(name, None) for name, strategy in STRATEGIES.items() if not strategy.budgeted]
    return alone + [
        StrategyConfig(name, budget) for budget in budgets for name, strategy in STRATEGIES.items() if strategy.budgeted
    ]


def measure(
    data: PairedImages, budgets: Sequence[float], splits: int, pattern: str | None, workers: int
) -> Iterator[list[Measurement]]:
    """The measurements of each split in turn; the same for the same arguments, whatever `workers` are."""
    jobs = (joblib.delayed(measure_split)(data, budgets, number, pattern) for number in range(splits))
    # Each worker gets its share of the cores; small fits gain nothing from more threads than that.
    results: Iterator[list[Measurement]] = joblib.Parallel(n_jobs=workers, return_as="generator")(jobs)
    return results


def measure_split(data: PairedImages, budgets: Sequence[float], number: int, pattern: str | None) -> list[Measurement]:
    """All contenders on the split with seed `number`."""
    held_out = np.array(split(data.images, data.classes, pattern, number))
    training, testing = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    old = rehearsal_pool(data.monday[training], data.targets[training])
    return [_measure(config, data, training, testing, old, number) for config in strategy_configs(budgets)]


def _measure(
    config: StrategyConfig, data: PairedImages, training: Indices, testing: Indices, old: RehearsalPool, number: int
) -> Measurement:
    strategy = STRATEGIES[config.strategy]
    # Strategies draw independently of each other, but the same at each run.
    rng = np.random.default_rng([number, *config.name.encode()])
    rehearsed = training[select(strategy, old, config.budget or 0, rng)]
    new = training if strategy.uses_new else training[:0]
    head = fit_head(
        np.concatenate([data.monday[rehearsed], data.tuesday[new]]),
        np.concatenate([data.targets[rehearsed], data.targets[new]]),
    )
    targets = data.targets[testing]
    monday, tuesday = (head.predict(day[testing]) for day in (data.monday, data.tuesday))
    return Measurement(
        config,
        number,
        len(rehearsed),
        float((monday == targets).mean()),
        float((tuesday == targets).mean()),
        _recalls(targets, monday, len(data.classes)),
        _recalls(targets, tuesday, len(data.classes)),
    )


def _recalls(targets: npt.NDArray[np.int64], predictions: npt.NDArray[np.int64], classes: int) -> tuple[float, ...]:
    scores = recall_score(targets, predictions, labels=list(range(classes)), average=None, zero_division=0.0)
    return tuple(map(float, scores))
