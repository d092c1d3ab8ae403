"""The gate on answers that are made up: what passes, what does not, and what it says."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_registry.adaptation.gate import (
    Latency,
    Limits,
    PairedPredictions,
    Verdict,
    bootstrap_lower_bound,
    evaluate_gate,
)

LIMITS = Limits(gain=0.02, day_loss=0.025, class_loss=0.05, latency_ms=300)
FAST = Latency(90, 90)
CLASSES = ("blue", "red")


def answers(champion: str, challenger: str, targets: str | None = None) -> PairedPredictions:
    """A digit an image: 1 where the model is right. Classes take turns unless `targets` has them."""
    truth = np.array([int(digit) for digit in targets] if targets else np.arange(len(champion)) % 2)
    said = [np.where([digit == "1" for digit in text], truth, 1 - truth) for text in (champion, challenger)]
    return PairedPredictions(truth, *said)


def verdict(
    monday: PairedPredictions, tuesday: PairedPredictions, latency: Latency = FAST, limits: Limits = LIMITS
) -> Verdict:
    return evaluate_gate({"monday": monday, "tuesday": tuesday}, "tuesday", CLASSES, latency, limits)


SAME = answers("1" * 200, "1" * 200)
BETTER = answers("1" * 150 + "0" * 50, "1" * 190 + "0" * 10)


def test_a_clear_gain_passes_and_says_by_how_much() -> None:
    result = verdict(SAME, BETTER)
    assert result.passed
    assert result.reasons[0] == "monday: 100.0% → 100.0% on 200 images, +0.0 points, at most 2.5 may be lost"
    assert result.reasons[1].startswith("tuesday: 75.0% → 95.0% on 200 images, +20.0 points (5th percentile +")
    day = json.loads(json.dumps(result.figures))["days"]["tuesday"]
    assert (day["images"], day["champion"], day["challenger"], day["gain"]) == (200, 0.75, 0.95, 0.2)
    # A share of 0.2 of 200 has a standard error of 0.028.
    assert day["gain_5th_percentile"] == pytest.approx(0.2 - 1.645 * 0.0283, abs=0.01)


def test_the_margin_itself_is_enough_where_it_is_proven() -> None:
    by_two_points = answers("1" * 900 + "0" * 100, "1" * 920 + "0" * 80)
    assert verdict(SAME, by_two_points).passed
    by_less = answers("1" * 900 + "0" * 100, "1" * 919 + "0" * 81)
    assert verdict(SAME, by_less).reasons == [
        "tuesday: 90.0% → 91.9% on 1000 images, +1.9 points (5th percentile +1.2), needed +2.0 and more than chance"
    ]


def test_a_gain_that_may_be_chance_does_not_pass() -> None:
    """Of forty images three are right now and one no longer: five points, on which nobody would bet."""
    lucky = answers("1" * 33 + "000" + "1111", "1" * 33 + "111" + "1110")
    result = verdict(SAME, lucky)
    assert not result.passed
    assert "+5.0 points (5th percentile -" in result.reasons[0]


def test_an_earlier_day_may_lose_a_little_and_no_more() -> None:
    assert verdict(answers("1" * 200, "1" * 195 + "0" * 5), BETTER).passed
    result = verdict(answers("1" * 200, "1" * 194 + "0" * 6), BETTER)
    assert result.reasons == ["monday: 100.0% → 97.0% on 200 images, -3.0 points, at most 2.5 may be lost"]


def test_a_class_may_not_pay_for_the_others() -> None:
    classes = "0" * 160 + "1" * 40
    lost = answers("0" * 60 + "1" * 140, "1" * 190 + "0" * 10, classes)
    result = verdict(SAME, lost)
    # Of red 40 images on tuesday and 100 on monday: 10 of 140 are lost.
    assert result.reasons == [
        "class red: -7.1 points over all days on 140 images (5th percentile of the loss 3.6), at most 5.0 may be lost"
    ]
    assert result.figures["classes"]["blue"]["loss"] < 0


def test_one_picture_of_a_small_class_is_chance() -> None:
    classes = "0" * 190 + "1" * 10
    one = answers("0" * 50 + "1" * 150, "1" * 199 + "0", classes)
    alone = evaluate_gate({"tuesday": one}, "tuesday", CLASSES, FAST, LIMITS)
    assert alone.figures["classes"]["red"]["loss"] == 0.1
    assert alone.passed


def test_a_slow_challenger_does_not_pass() -> None:
    assert verdict(SAME, BETTER, Latency(90, 300)).passed
    assert verdict(SAME, BETTER, Latency(400, 301)).reasons == [
        "latency 301 ms a batch (champion 400 ms), at most 300 ms allowed"
    ]


def test_every_broken_rule_is_named() -> None:
    result = verdict(answers("1" * 200, "0" * 200), SAME, Latency(90, 900))
    assert [reason.split()[0] for reason in result.reasons] == ["monday:", "tuesday:", "class", "class", "latency"]


def test_a_day_without_images_proves_nothing() -> None:
    assert verdict(SAME, answers("", "")).reasons == ["tuesday: no held-out image to judge on"]
    assert evaluate_gate({"monday": SAME}, "tuesday", CLASSES, FAST, LIMITS).reasons == [
        "tuesday: no held-out image to judge on"
    ]


days = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def made_of(pairs: list[tuple[bool, bool]]) -> PairedPredictions:
    return answers(*("".join(str(int(pair[side])) for pair in pairs) for side in (0, 1)))


def swapped(day: PairedPredictions) -> PairedPredictions:
    return PairedPredictions(day.targets, day.challenger, day.champion)


@given(days, days)
def test_identical_models_never_pass(monday: list[tuple[bool, bool]], tuesday: list[tuple[bool, bool]]) -> None:
    same = [replace(made_of(pairs), challenger=made_of(pairs).champion) for pairs in (monday, tuesday)]
    assert not verdict(same[0], same[1], limits=replace(LIMITS, gain=0)).passed


@given(days, days)
def test_two_models_cannot_each_replace_the_other(
    monday: list[tuple[bool, bool]], tuesday: list[tuple[bool, bool]]
) -> None:
    there = verdict(made_of(monday), made_of(tuesday))
    back = verdict(swapped(made_of(monday)), swapped(made_of(tuesday)))
    assert not (there.passed and back.passed)
    for day in ("monday", "tuesday"):
        assert there.figures["days"][day]["gain"] == -back.figures["days"][day]["gain"]


@given(days, days, st.integers(0, 59))
def test_one_more_right_answer_never_hurts(
    monday: list[tuple[bool, bool]], tuesday: list[tuple[bool, bool]], place: int
) -> None:
    before = verdict(made_of(monday), made_of(tuesday))
    for pairs in (monday, tuesday):
        improved = list(pairs)
        improved[place % len(pairs)] = (pairs[place % len(pairs)][0], True)
        after = verdict(
            made_of(improved if pairs is monday else monday), made_of(improved if pairs is tuesday else tuesday)
        )
        assert after.passed >= before.passed


@given(st.integers(0, 2**32 - 1))
def test_a_model_that_is_right_everywhere_passes_whatever_the_seed(seed: int) -> None:
    perfect = {"tuesday": answers("10" * 50, "1" * 100)}
    assert evaluate_gate(perfect, "tuesday", CLASSES, FAST, LIMITS, seed).passed


def test_the_same_seed_gives_the_same_percentile() -> None:
    differences = BETTER.differences()
    assert bootstrap_lower_bound(differences, 1) == bootstrap_lower_bound(differences, 1)
    assert bootstrap_lower_bound(np.ones(7, dtype=np.int64), 3) == 1
    assert bootstrap_lower_bound(np.zeros(7, dtype=np.int64), 3) == 0
