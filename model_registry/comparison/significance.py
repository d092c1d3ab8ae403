"""What many splits say about a strategy, and whether it differs from the baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from model_registry.comparison.experiment import Measurement, StrategyConfig
from model_registry.data.dataset import FOLDS
from model_registry.strategies import BASELINE

RESAMPLES = 10_000
SIGNIFICANCE = 0.05
"""Chance of naming any difference where there is none, over all the tests of one table."""

Series = npt.NDArray[np.float64]
"""One figure of one contender, split by split [S]."""


@dataclass(frozen=True)
class Interval:
    """A mean over the splits and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class StrategySummary:
    """What a contender achieves, 0 to 1; `forgetting` is what `monday` has on monday and it has not."""

    config: StrategyConfig
    rehearsed: float
    monday: Interval
    tuesday: Interval
    mean: Interval
    forgetting: Interval
    monday_recall: Sequence[float]
    tuesday_recall: Sequence[float]


@dataclass(frozen=True)
class Difference:
    """A contender's mean over both days minus the baseline's at the same budget, split by split.

    `p_same_images` asks whether the difference on these very images is more than the luck of the draw (Wilcoxon's
    signed-rank test). `p_new_images` asks whether it would hold on other images of the kind: splits of one data set
    share most of their images, so they are no independent witnesses (Nadeau and Bengio, Inference for the
    generalization error, 2003). Both are corrected for the number of contenders (Holm).
    """

    config: StrategyConfig
    difference: Interval
    p_same_images: float
    p_new_images: float


def interval(series: Series) -> Interval:
    """Percentile bootstrap over the splits, with randomness of its own: the same for the same series."""
    draws = np.random.default_rng(0).integers(0, len(series), (RESAMPLES, len(series)))
    low, high = np.quantile(series[draws].mean(axis=1), [0.025, 0.975])
    return Interval(float(series.mean()), float(low), float(high))


def summarise(measurements: Sequence[Measurement]) -> list[StrategySummary]:
    """The figures of each contender, in the order of its first measurement."""
    before = _series(_of(measurements)[StrategyConfig("monday", None)], "monday")
    figures = []
    for config, rows in _of(measurements).items():
        monday, tuesday = _series(rows, "monday"), _series(rows, "tuesday")
        figures.append(
            StrategySummary(
                config,
                float(np.mean([row.rehearsed for row in rows])),
                interval(monday),
                interval(tuesday),
                interval((monday + tuesday) / 2),
                interval(before - monday),
                np.mean([row.monday_recall for row in rows], axis=0).tolist(),
                np.mean([row.tuesday_recall for row in rows], axis=0).tolist(),
            )
        )
    return figures


def differences(measurements: Sequence[Measurement]) -> list[Difference]:
    """Each contender with a budget against the baseline with the same one."""
    means = {
        config: (_series(rows, "monday") + _series(rows, "tuesday")) / 2
        for config, rows in _of(measurements).items()
        if config.budget is not None
    }
    rivals = [config for config in means if config.strategy != BASELINE]
    gains = [means[rival] - means[StrategyConfig(BASELINE, rival.budget)] for rival in rivals]
    p_same_images = holm([signed_rank(gain) for gain in gains])
    p_new_images = holm([corrected_t(gain) for gain in gains])
    return [
        Difference(rival, interval(gain), these, others)
        for rival, gain, these, others in zip(rivals, gains, p_same_images, p_new_images, strict=True)
    ]


def signed_rank(gains: Series) -> float:
    """The p of Wilcoxon's signed-rank test, two-sided; 1 where nothing ever differs."""
    # Sums of shares differ in the last digit where the counts behind them are equal.
    gains = gains.round(9)
    return float(stats.wilcoxon(gains).pvalue) if gains.any() else 1.0


def corrected_t(gains: Series) -> float:
    """The p of the corrected resampled t-test, two-sided: the variance grows by test images over training images."""
    gains = gains.round(9)
    if not gains.any():
        return 1.0
    variance = gains.var(ddof=1) * (1 / len(gains) + 1 / (FOLDS - 1))
    if variance == 0:
        return 0.0
    return float(2 * stats.t.sf(abs(gains.mean()) / np.sqrt(variance), len(gains) - 1))


def holm(values: Sequence[float]) -> list[float]:
    """Values of p, corrected so that the chance of any false finding among them stays the nominal one (Holm, 1979)."""
    order = np.argsort(values)
    scaled = np.array(values)[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return corrected.tolist()


def _of(measurements: Sequence[Measurement]) -> Mapping[StrategyConfig, list[Measurement]]:
    found: dict[StrategyConfig, list[Measurement]] = {}
    for measurement in sorted(measurements, key=lambda each: each.split):
        found.setdefault(measurement.config, []).append(measurement)
    return found


def _series(rows: Sequence[Measurement], day: str) -> Series:
    return np.array([getattr(row, day) for row in rows])
