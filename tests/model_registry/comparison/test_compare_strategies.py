"""On embeddings made up so that the answer is known."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from typer.testing import CliRunner

from common.cli import UserError
from model_registry import compare_strategies
from model_registry.comparison.experiment import Measurement, StrategyConfig, measure, strategy_configs
from model_registry.comparison.page import markdown
from model_registry.comparison.paired_images import PairedImages
from model_registry.comparison.report import Comparison
from model_registry.comparison.significance import corrected_t, differences, holm, interval, signed_rank, summarise
from model_registry.data.dataset import LabelledImage
from model_registry.strategies import BASELINE, STRATEGIES, RehearsalPool, Strategy
from model_registry.strategies.strategy import Indices

SPLITS = 8


def images(*counts: int) -> list[LabelledImage]:
    return [LabelledImage(f"c{label}/{row}.jpg", label) for label, count in enumerate(counts) for row in range(count)]


@pytest.fixture
def two_days() -> PairedImages:
    """Two classes. On tuesday they are told apart by another dimension, and the first one misleads."""
    rng = np.random.default_rng(1)
    rows = images(60, 60)
    sign = np.array([2.0 * row.target - 1 for row in rows])
    noise = rng.normal(0, 0.3, (2, len(rows), 6))
    monday, tuesday = noise.astype(np.float32)
    monday[:, 0] += sign
    tuesday[:, 0] -= sign / 2
    tuesday[:, 1] += sign
    return PairedImages(rows, ["c0", "c1"], monday, tuesday)


def measured(data: PairedImages, splits: int = SPLITS) -> list[Measurement]:
    return [each for found in measure(data, [0.2], splits, None, workers=1) for each in found]


def measurement(strategy: str, split: int, monday: float, tuesday: float) -> Measurement:
    budget = 0.2 if STRATEGIES[strategy].budgeted else None
    return Measurement(StrategyConfig(strategy, budget), split, 10, monday, tuesday, (monday,) * 2, (tuesday,) * 2)


class OneRow(Strategy):
    """Saves its budget."""

    def choose(self, old: RehearsalPool, count: int, rng: np.random.Generator) -> Indices:
        return np.zeros(1, dtype=np.intp)


def test_every_strategy_is_measured_at_every_budget() -> None:
    found = strategy_configs([0.1, 0.2])
    budgeted = [name for name, strategy in STRATEGIES.items() if strategy.budgeted]
    assert len(found) == len(set(found)) == len(STRATEGIES) + len(budgeted)


def test_both_days_are_learnt_only_by_who_sees_both(two_days: PairedImages) -> None:
    """Labels belong to their rows in what every strategy trains on: else none would be right."""
    figures = {each.config.strategy: each for each in summarise(measured(two_days, splits=3))}
    assert figures["monday"].monday.mean > 0.95
    assert figures["monday"].tuesday.mean < 0.5
    assert figures["tuesday"].tuesday.mean > 0.95
    assert figures["tuesday"].monday.mean < 0.5
    assert figures["tuesday"].forgetting.mean > 0.45
    assert figures["monday"].forgetting.mean == 0
    for name, strategy in STRATEGIES.items():
        if strategy.budgeted:
            assert figures[name].tuesday.mean > 0.9, name
            assert figures[name].rehearsed == 19
    assert figures["all"].mean.mean > 0.95


def test_the_same_measurements_with_any_number_of_workers(two_days: PairedImages) -> None:
    one, two = (list(measure(two_days, [0.1], 2, None, workers)) for workers in (1, 2))
    assert one == two


def test_a_worse_strategy_is_found_worse(two_days: PairedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {name: STRATEGIES[name] for name in ("monday", BASELINE)} | {"one_row": OneRow()}
    monkeypatch.setattr("model_registry.comparison.experiment.STRATEGIES", chosen)
    comparison = Comparison.of("test", two_days, measured(two_days))
    (difference,) = comparison.differences
    assert difference.difference.high < -0.05
    assert difference.p_same_images < 0.01
    assert difference.p_new_images < 0.05
    (sentence,) = comparison.verdict()
    assert sentence.startswith("At a budget of 20% these differ from random: one_row (-")
    assert "on these images only" not in sentence


def test_no_difference_is_called_none(two_days: PairedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    same = STRATEGIES[BASELINE]
    chosen = {"monday": STRATEGIES["monday"], BASELINE: same, "the_same": same, "once_more": same}
    monkeypatch.setattr("model_registry.comparison.experiment.STRATEGIES", chosen)
    comparison = Comparison.of("test", two_days, measured(two_days))
    assert comparison.verdict() == ["At a budget of 20% no strategy is proven to differ from random."]
    page = markdown(comparison, "chart.png", "raw.csv", "command")
    assert "no strategy is proven to differ" in page


def test_pairs_are_matched_by_split_not_by_order() -> None:
    rows = [measurement(BASELINE, split, 0.5 + split / 100, 0.5) for split in range(8)]
    rows += [measurement("herding", split, 0.52 + split / 100, 0.5) for split in reversed(range(8))]
    (difference,) = differences([*rows, measurement("monday", 0, 0.5, 0.5)])
    assert difference.difference.low == pytest.approx(difference.difference.high) == pytest.approx(0.01)
    assert difference.p_same_images == pytest.approx(2 / 2**8)


def test_a_gain_on_these_images_need_not_hold_for_others(two_days: PairedImages) -> None:
    gains = [0.01, 0.02, 0.0, 0.03, 0.01, 0.02, -0.01, 0.02, 0.03, 0.01, 0.02, 0.01]
    rows = [measurement(BASELINE, split, 0.5, 0.5) for split in range(len(gains))]
    rows += [measurement("herding", split, 0.5 + gain, 0.5 + gain) for split, gain in enumerate(gains)]
    comparison = Comparison.of("test", two_days, [*rows, measurement("monday", 0, 0.5, 0.5)])
    (difference,) = comparison.differences
    assert difference.p_same_images < 0.05 < difference.p_new_images
    assert comparison.verdict() == [
        "At a budget of 20% these differ from random: herding (+1.4 points, on these images only)."
    ]


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03, 0.9]) == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert holm([0.6, 0.6]) == [1.0, 1.0]


def test_the_corrected_test_is_the_t_test_with_a_wider_variance() -> None:
    gains = np.random.default_rng(0).normal(0.5, 1, 16)
    plain = stats.ttest_1samp(gains, 0)
    corrected = corrected_t(gains)
    assert corrected > plain.pvalue
    # One fold of five: the variance of the mean is 1/16 + 1/4 instead of 1/16, so t falls by the root of 5.
    assert corrected == pytest.approx(2 * stats.t.sf(abs(plain.statistic) / np.sqrt(5), 15), rel=1e-6)


def test_nothing_ever_different_is_no_evidence() -> None:
    assert signed_rank(np.zeros(5)) == corrected_t(np.zeros(5)) == 1
    assert corrected_t(np.full(5, 0.1)) == 0


def test_the_interval_is_the_standard_one_where_that_is_known() -> None:
    series = np.random.default_rng(3).normal(10, 2, 400)
    found = interval(series)
    assert found == interval(series)
    half = 1.96 * series.std() / 20
    assert (found.low, found.high) == pytest.approx((series.mean() - half, series.mean() + half), abs=0.03)


def save_images(root: Path) -> None:
    for number in range(24):
        for day, change in (("monday", 0), ("tuesday", 60)):
            file = root / day / ("red" if number % 2 else "green") / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            colour = (200 - number, change, 0) if number % 2 else (change, 200 - number, 0)
            Image.new("RGB", (32, 32), colour).save(file)


def test_the_command_writes_page_chart_and_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_images(tmp_path)
    monkeypatch.setenv("MODEL_REGISTRY_EMBEDDING_CACHE", str(tmp_path / "cache.sqlite"))
    page = tmp_path / "docs" / "strategies.md"
    where = ["--image-root", str(tmp_path), "--output", str(page), "--title", "two colours"]
    answer = CliRunner().invoke(
        compare_strategies.app, [*where, "--no-log", "--splits", "2", "--budget", "0.5", "--workers", "1"]
    )
    assert answer.exit_code == 0, answer.exception
    text = page.read_text()
    assert text.startswith("# Rehearsal strategies compared: two colours")
    assert all(f"| {each.name} |" in text for each in strategy_configs([0.5]))
    assert str(tmp_path) not in text
    with Image.open(page.with_suffix(".png")) as picture:
        assert picture.width > 500
    with page.with_suffix(".csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * len(strategy_configs([0.5]))
    assert set(lines[0]) == {
        *("split", "strategy", "budget", "rehearsed", "monday", "tuesday"),
        *(f"{day}_recall_{name}" for day in ("monday", "tuesday") for name in ("green", "red")),
    }
    assert float(next(line for line in lines if line["strategy"] == "all")["monday"]) == 1


def test_missing_images_are_named(tmp_path: Path) -> None:
    def refusal() -> str:
        answer = CliRunner().invoke(compare_strategies.app, ["--no-log", "--image-root", str(tmp_path)])
        assert isinstance(answer.exception, UserError), answer.exception
        return str(answer.exception)

    assert f"no folder {tmp_path / 'monday'}" in refusal()
    (tmp_path / "monday/a").mkdir(parents=True)
    (tmp_path / "tuesday").mkdir()
    (tmp_path / "monday/a/1.jpg").touch()
    assert "of the same name" in refusal()
