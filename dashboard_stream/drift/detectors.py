"""Has the stream drifted? Each detector compares a window of predictions with the reference of the model.

The reference is what the model answered on held-out images of its training days; see `GET /model/reference`.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

PADDING_SHARE = 0.04
"""Share of images as uncertain as can be that the reference is padded with. A small reference has seen few of its rare
hard images, or none: without them the threshold is too low just where the reference happens to be easy."""

UNCERTAIN = 0.5
STANDARD_ERRORS = 1.5
"""Above the padded mean; together about 3.5 standard errors of the reference as it is (`benchmarks/drift.py`)."""

ACCURACY_ALPHA = 5e-3
"""Probability of an accuracy alarm at one check while nothing has changed."""

RESAMPLES = 1000
MMD_STANDARD_ERRORS = 4.0


def confidence_threshold(confidences: npt.ArrayLike, window: int, rng: np.random.Generator) -> float:
    """The mean of 1 - confidence over `window` images that is too high to be chance.

    Window and reference are both drawn anew from the padded reference: what their means differ by holds the chance in
    the window and that in the choice of the reference.
    """
    uncertainties = 1 - np.asarray(confidences, dtype=np.float64)
    size = len(uncertainties)
    padded = np.concatenate([uncertainties, np.full(math.ceil(PADDING_SHARE * size), UNCERTAIN)])
    windows = rng.choice(padded, (RESAMPLES, window)).mean(axis=1)
    references = rng.choice(padded, (RESAMPLES, size)).mean(axis=1)
    return float(padded.mean() + STANDARD_ERRORS * (windows - references).std())


@lru_cache(maxsize=1024)
def accuracy_threshold(accuracy: float, reference_size: int, labelled: int, level: float = ACCURACY_ALPHA) -> float:
    """The share of wrong ones among `labelled` images that chance exceeds with probability `level` at most.

    The exact binomial tail, averaged over the error rates that a reference of that size and accuracy leaves open
    (Jeffreys' prior). 1.0, which nothing exceeds, where there are too few images for any verdict.
    """
    wrong = round((1 - accuracy) * reference_size)
    alpha, beta = wrong + 0.5, reference_size - wrong + 0.5
    tail = 0.0
    for count in range(labelled, -1, -1):
        tail += math.exp(
            _log_choose(labelled, count) + _log_beta(count + alpha, labelled - count + beta) - _log_beta(alpha, beta)
        )
        if tail > level:
            return count / labelled
    raise AssertionError("the probabilities add up to 1")


def _log_choose(of: int, count: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)


def _log_beta(alpha: float, beta: float) -> float:
    return math.lgamma(alpha) + math.lgamma(beta) - math.lgamma(alpha + beta)


class MaximumMeanDiscrepancy:
    """Squared MMD between a window's features and the reference's [R, D], with a Gaussian kernel.

    The kernel's width is the median distance within the reference. Built once a reference: `threshold` comes from
    resampling it.
    """

    def __init__(self, reference: npt.ArrayLike, window: int, rng: np.random.Generator) -> None:
        self._reference = np.asarray(reference, dtype=np.float64)
        distances = _squared_distances(self._reference, self._reference)
        between = distances[np.triu_indices(len(distances), 1)]
        # Of a single image, or of equal ones, any width will do.
        self._width = float(np.median(between)) if between.any() else 1.0
        kernel = np.exp(-distances / self._width)
        self._within = float(kernel.mean())
        self.threshold = _resampled_threshold(kernel, window, rng)

    def score(self, features: npt.ArrayLike) -> float:
        """0 where both are alike; never negative but for rounding."""
        window = np.asarray(features, dtype=np.float64)
        own = np.exp(-_squared_distances(window, window) / self._width).mean()
        across = np.exp(-_squared_distances(window, self._reference) / self._width).mean()
        return float(own + self._within - 2 * across)


def _squared_distances(left: FloatArray, right: FloatArray) -> FloatArray:
    # Not `@`: its threads, one a core, wait for each other on a busy machine, ten times as long as this takes alone.
    products = np.einsum("id,jd->ij", left, right)
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * products
    clipped: FloatArray = np.maximum(squares, 0)
    return clipped


def _resampled_threshold(kernel: FloatArray, window: int, rng: np.random.Generator) -> float:
    size = len(kernel)
    even = np.full(size, 1 / size)
    # How often each image was drawn; the MMD of two such draws is a quadratic form in the difference.
    difference = rng.multinomial(window, even, RESAMPLES) / window - rng.multinomial(size, even, RESAMPLES) / size
    scores = np.einsum("ij,ij->i", difference @ kernel, difference)
    return float(scores.mean() + MMD_STANDARD_ERRORS * scores.std())
