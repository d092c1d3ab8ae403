"""Known answers, properties, and how often the detectors are wrong on streams from known distributions."""

from math import comb

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.pictures.embeddings import FEATURES, PROJECTION
from dashboard_stream.drift.checks import Detectors, evidence
from dashboard_stream.drift.detectors import (
    ACCURACY_ALPHA,
    MaximumMeanDiscrepancy,
    accuracy_threshold,
    confidence_threshold,
)
from dashboard_stream.drift.reference import Reference
from dashboard_stream.drift.sliding_window import Window, Windows
from tests.dashboard_stream.drift import predicted

WINDOW, CHECK_EVERY = 75, 5


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def confidences(size: int, seed: int = 0, drifted: bool = False) -> npt.NDArray[np.float64]:
    """Shaped like those of a good model: most are sure, few are not; drifted, many are unsure."""
    draw = rng(seed)
    return 1 - (draw.beta(0.6, 3, size) if drifted else draw.beta(0.25, 5, size))


def test_the_confidence_threshold_is_above_the_reference_and_the_same_for_the_same_seed() -> None:
    reference = confidences(120)
    threshold = confidence_threshold(reference, WINDOW, rng())
    assert threshold == confidence_threshold(reference, WINDOW, rng())
    assert (1 - reference).mean() < threshold < (1 - confidences(2000, 1, drifted=True)).mean()


def test_a_shorter_window_and_a_smaller_reference_need_a_higher_threshold() -> None:
    reference = np.tile(confidences(100), 4)
    thresholds = [confidence_threshold(reference, window, rng()) for window in (25, 50, 100, 200)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert confidence_threshold(reference[:100], WINDOW, rng()) > confidence_threshold(reference, WINDOW, rng())


@given(st.lists(st.floats(0.75, 1), min_size=20, max_size=100), st.integers(20, 100))
def test_a_less_sure_reference_has_a_higher_threshold(reference: list[float], window: int) -> None:
    less_sure = [confidence - 0.2 for confidence in reference]
    assert confidence_threshold(less_sure, window, rng()) > confidence_threshold(reference, window, rng())


def test_a_reference_that_is_always_sure_still_leaves_room_for_a_few_hard_images() -> None:
    threshold = confidence_threshold(np.ones(120), WINDOW, rng())
    assert 2 * 0.5 / WINDOW < threshold < 0.1


def binomial_tail(wrong: int, of: int, rate: float) -> float:
    return sum(comb(of, count) * rate**count * (1 - rate) ** (of - count) for count in range(wrong, of + 1))


@pytest.mark.parametrize("labelled", [20, 75, 100])
def test_with_a_huge_reference_the_accuracy_threshold_is_the_exact_binomial_tail(labelled: int) -> None:
    most = round(accuracy_threshold(0.95, 10_000_000, labelled) * labelled)
    assert binomial_tail(most + 1, labelled, 0.05) <= ACCURACY_ALPHA < binomial_tail(most, labelled, 0.05)


def test_a_smaller_reference_leaves_more_error_rates_open() -> None:
    thresholds = [accuracy_threshold(0.95, size, WINDOW) for size in (20, 60, 400, 10_000)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] > thresholds[-1]


def test_too_few_labels_never_raise_an_alarm() -> None:
    assert accuracy_threshold(0.95, 120, 1) == 1.0


@given(st.floats(0, 1), st.integers(2, 400), st.integers(1, 200))
def test_the_accuracy_threshold_is_a_share(accuracy: float, size: int, labelled: int) -> None:
    assert 0 <= accuracy_threshold(accuracy, size, labelled) <= 1


def features(size: int, seed: int, shift: float = 0) -> npt.NDArray[np.float64]:
    return rng(seed).normal(shift, 1, (size, FEATURES))


def test_mmd_of_a_set_with_itself_is_0() -> None:
    reference = features(120, 0)
    assert MaximumMeanDiscrepancy(reference, WINDOW, rng()).score(reference) == pytest.approx(0, abs=1e-12)


def test_mmd_of_two_points_is_known() -> None:
    """The only distance is the width: e^-1 between the points."""
    detector = MaximumMeanDiscrepancy([[0.0], [2.0]], WINDOW, rng())
    within, one, other = (1 + np.exp(-1)) / 2, 1.0, (1 + np.exp(-1)) / 2
    assert detector.score([[0.0]]) == pytest.approx(one + within - 2 * other)


def test_mmd_grows_with_the_shift_and_passes_its_threshold() -> None:
    detector = MaximumMeanDiscrepancy(features(120, 0), WINDOW, rng())
    scores = [detector.score(features(WINDOW, 1, shift)) for shift in (0, 0.25, 0.5, 1)]
    assert scores == sorted(scores)
    assert scores[0] < detector.threshold < scores[-1]


@pytest.mark.parametrize("reference", [np.zeros((1, FEATURES)), np.ones((5, FEATURES))])
def test_mmd_bears_references_without_any_spread(reference: npt.NDArray[np.float64]) -> None:
    detector = MaximumMeanDiscrepancy(reference, WINDOW, rng())
    assert detector.score(reference) == pytest.approx(0)
    assert np.isfinite(detector.score(features(WINDOW, 0)))


def first_alarm(stream: npt.NDArray[np.float64], threshold: float, after: int = 0) -> int | None:
    """How many images behind `after` a due check first finds the mean of a full window above `threshold`."""
    window = Window(WINDOW, CHECK_EVERY)
    for number, confidence in enumerate(stream.tolist(), start=1):
        due = window.add(predicted(number, confidence=confidence))
        if due and number > after and np.mean([1 - row.confidence for row in window]) > threshold:
            return number - after
    return None


def test_clean_streams_seldom_raise_an_alarm_and_drifted_ones_soon_do() -> None:
    """References and streams are drawn anew each time, so that the chance in the reference counts as well."""
    false, full, half = 0, [], []
    for seed in range(200):
        threshold = confidence_threshold(confidences(120, 4 * seed), WINDOW, rng())
        clean, drifted = confidences(400, 4 * seed + 1), confidences(300, 4 * seed + 2, drifted=True)
        false += first_alarm(clean[:300], threshold) is not None
        full.append(first_alarm(np.concatenate([clean[:100], drifted]), threshold, after=100) or 999)
        mixed = np.where(rng(4 * seed + 3).random(300) < 0.5, drifted, clean[100:])
        half.append(first_alarm(np.concatenate([clean[:100], mixed]), threshold, after=100) or 999)
    assert false <= 0.05 * 200
    assert np.quantile(full, 0.9) <= 60
    assert np.quantile(half, 0.9) <= 120


def test_clean_labels_seldom_raise_an_alarm() -> None:
    alarms = 0
    for seed in range(200):
        draw = rng(seed)
        threshold = accuracy_threshold(1 - (draw.random(120) < 0.04).mean(), 120, WINDOW)
        wrong = np.convolve(draw.random(300) < 0.04, np.ones(WINDOW), "valid") / WINDOW
        alarms += bool((wrong > threshold).any())
    assert alarms <= 0.05 * 200


REFERENCE = Reference(
    model_version="7",
    dataset="monday",
    accuracy=0.95,
    confidences=confidences(120).tolist(),
    features=features(120, 0).tolist(),
    projection=PROJECTION,
)


def test_a_window_is_checked_by_every_detector_that_has_what_it_needs() -> None:
    rows = [predicted(n, features=[0.0] * FEATURES) for n in range(WINDOW)]
    detectors = Detectors(REFERENCE, WINDOW)
    confidence, mmd = detectors.check_predictions(rows)
    assert confidence.detector == "confidence"
    assert confidence.score == pytest.approx(0.1)
    assert mmd.detector == "mmd"
    (accuracy,) = detectors.check_labels(rows)
    assert (accuracy.detector, accuracy.score, accuracy.alarm) == ("accuracy", 0, False)
    without_one = [predicted(n, features=[0.0] * FEATURES if n else None) for n in range(WINDOW)]
    assert [check.detector for check in detectors.check_predictions(without_one)] == ["confidence"]
    older = REFERENCE.model_copy(update={"projection": None})
    assert [check.detector for check in Detectors(older, WINDOW).check_predictions(rows)] == ["confidence"]


def test_without_a_reference_there_are_scores_and_no_alarms() -> None:
    rows = [predicted(n, target=0, label=1, confidence=0.3) for n in range(WINDOW)]
    detectors = Detectors(None, WINDOW)
    checks = [*detectors.check_predictions(rows), *detectors.check_labels(rows)]
    assert [(check.detector, round(check.score, 9), check.threshold) for check in checks] == [
        ("confidence", 0.7, None),
        ("accuracy", 1.0, None),
    ]
    assert not any(check.alarm for check in checks)


def test_evidence_shows_the_least_sure_images_or_the_wrong_ones() -> None:
    rows = [predicted(n, target=n % 2, label=0, confidence=1 - n / 100) for n in range(20)]

    def shown(detector: str) -> list[int]:
        images = evidence(detector, rows)["images"]  # type: ignore[arg-type]
        assert isinstance(images, list)
        return [image["id"] for image in images]

    assert shown("confidence") == [19, 18, 17, 16, 15, 14, 13, 12]
    assert shown("accuracy") == [19, 17, 15, 13, 11, 9, 7, 5]
    assert evidence("confidence", rows)["predicted_classes"] == {"0": 10, "1": 10}


@given(st.lists(st.sampled_from("ab"), max_size=200), st.integers(2, 20), st.integers(1, 7))
def test_each_version_that_answers_has_a_window_and_is_due_by_count(answers: list[str], size: int, every: int) -> None:
    windows = Windows(size, every)
    seen: dict[str, list[int]] = {}
    for number, version in enumerate(answers):
        window, gone = windows.add(predicted(number, model_version=version))
        others = [
            other for other in seen if other != version and version * size == "".join(answers)[: number + 1][-size:]
        ]
        assert gone == others
        for other in others:
            del seen[other]
        run = seen.setdefault(version, [])
        run.append(number)
        assert set(windows.versions) == set(seen)
        due = len(run) >= size and (len(run) - size) % every == 0
        assert [row.id for row in window or []] == (run[-size:] if due else [])


@given(st.integers(0, 60), st.integers(2, 20), st.integers(1, 7))
def test_a_window_goes_on_as_if_it_had_never_ended(before: int, size: int, every: int) -> None:
    rows = [predicted(number) for number in range(before + 30)]
    whole, checked = Window(size, every), []
    for number, row in enumerate(rows[:before]):
        if whole.add(row):
            checked.append(number)
    since = before - 1 - checked[-1] if checked else max(before - size, 0)
    resumed = Window(size, every, rows[max(before - size, 0) : before], since)
    assert [whole.add(row) for row in rows[before:]] == [resumed.add(row) for row in rows[before:]]
