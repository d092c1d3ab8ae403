"""How many images prove a gain: known answers, properties, and the gate itself as the judge."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_registry.adaptation.gate import bootstrap_lower_bound
from model_registry.adaptation.sample_size import DISCORDANT, expected_gain, required_test_images


def test_half_of_the_loss_is_expected_back_and_no_less_than_the_gate_asks_for() -> None:
    assert expected_gain(0.95, 0.75, 0.02) == pytest.approx(0.1)
    assert expected_gain(0.95, 0.94, 0.02) == 0.02
    assert expected_gain(0.7, 0.9, 0.02) == 0.02


@pytest.mark.parametrize(
    # (1.645 + 0.842)² · (5/3 g - g²) / g²; for 0.1 that is 6.183 · 15.67 = 96.9.
    ("gain", "images"),
    [(0.1, 97), (0.05, 200), (0.02, 510), (0.2, 46), (0.9, 2), (1, 1), (3, 1), (0, math.inf), (-0.1, math.inf)],
)
def test_known_answers(gain: float, images: float) -> None:
    assert required_test_images(gain) == images


@given(st.floats(0.001, 1), st.floats(0.001, 1))
def test_a_greater_gain_never_needs_more(one: float, other: float) -> None:
    assert required_test_images(max(one, other)) <= required_test_images(min(one, other))


def test_the_gate_proves_such_a_gain_about_as_often_as_stated() -> None:
    """300 challengers that truly gain 10 points, each judged on as many images as are said to be needed."""
    gain, rng = 0.1, np.random.default_rng(5)
    won, lost = (DISCORDANT * gain + gain) / 2, (DISCORDANT * gain - gain) / 2
    size = int(required_test_images(gain))
    drawn = rng.choice([1, -1, 0], (300, size), p=[won, lost, 1 - won - lost])
    proven = np.mean([bootstrap_lower_bound(differences, seed=1) > 0 for differences in drawn])
    assert 0.7 < proven < 0.9
