"""How many held-out images the gate needs to tell a gain from chance: pure arithmetic."""

import math
from statistics import NormalDist

from model_registry.adaptation.gate import PERCENTILE

POWER = 0.8
"""How often a challenger that gains as much as expected shall be proven better."""

EXPECTED_RECOVERY = 0.5
"""Share of the lost accuracy that training on labelled rows is expected to win back."""

DISCORDANT = 5 / 3
"""Images that only one of the two models gets right, for each that is gained net. On 120 held-out images, where the
accuracy rose from 76.7 to 90.0 %, 24 were won and 8 lost: not measured on other data."""


def expected_gain(before: float, now: float, at_least: float) -> float:
    """Of accuracy, 0 to 1, when a model that had the accuracy `before` has `now`. Less than `at_least` is no use."""
    return max(EXPECTED_RECOVERY * (before - now), at_least)


def required_test_images(gain: float) -> float:
    """So many images that a mean gain of `gain` is proven with `POWER`; infinity for none.

    Each image's difference is 1, 0 or -1, so its variance is p - gain², p being the share that differs. The gate asks
    for a mean above z standard errors; to get there with `POWER`, the expected mean must lie that much higher.
    """
    if gain <= 0:
        return math.inf
    gain = min(gain, 1.0)
    normal = NormalDist()
    apart = normal.inv_cdf(1 - PERCENTILE / 100) + normal.inv_cdf(POWER)
    variance = min(1.0, DISCORDANT * gain) - gain**2
    return max(1, math.ceil(apart**2 * variance / gain**2))
