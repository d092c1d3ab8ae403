"""What a comparison says: a verdict in words, a table, and the raw numbers."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from model_registry.comparison.experiment import Measurement
from model_registry.comparison.paired_images import PairedImages
from model_registry.comparison.significance import (
    SIGNIFICANCE,
    Difference,
    Interval,
    StrategySummary,
    differences,
    summarise,
)
from model_registry.strategies import BASELINE

HEADINGS = (
    "trained on",
    "old",
    "monday",
    "tuesday",
    "mean",
    "forgotten",
    f"against {BASELINE}",
    "p here",
    "p there",
)


@dataclass(frozen=True)
class Format:
    """How a share is written, in hundredths, and whether with its interval."""

    number: str
    intervals: bool

    def show(self, value: Interval) -> str:
        """As text."""
        # Adding 0.0 takes the sign from a zero.
        mean, low, high = (
            self.number.format(round(share * 100, 1) + 0.0) for share in (value.mean, value.low, value.high)
        )
        return f"{mean} ({low} to {high})" if self.intervals else mean


@dataclass(frozen=True)
class Comparison:
    """All that was measured."""

    title: str
    data: PairedImages
    splits: int
    measurements: Sequence[Measurement]
    figures: Sequence[StrategySummary]
    differences: Sequence[Difference]

    @classmethod
    def of(cls, title: str, data: PairedImages, measurements: Sequence[Measurement]) -> "Comparison":
        """With the statistics of `measurements`."""
        splits = len({measurement.split for measurement in measurements})
        return cls(title, data, splits, measurements, summarise(measurements), differences(measurements))

    def rows(self, intervals: bool) -> list[tuple[str, ...]]:
        """A row a contender, below `HEADINGS`; accuracies in percent, differences in points."""
        percent, points = Format("{:.1f}", intervals), Format("{:+.1f}", intervals)
        found = {each.config: each for each in self.differences}
        return [
            (
                each.config.name,
                f"{each.rehearsed:.0f}",
                percent.show(each.monday),
                percent.show(each.tuesday),
                percent.show(each.mean),
                points.show(each.forgetting),
                *_against(found.get(each.config), points),
            )
            for each in self.figures
        ]

    def verdict(self) -> list[str]:
        """A sentence a budget, which says so when nothing is proven."""
        budgets = sorted({each.config.budget for each in self.differences if each.config.budget is not None})
        return [
            _verdict(budget, [each for each in self.differences if each.config.budget == budget]) for budget in budgets
        ]


def _verdict(budget: float, found: Sequence[Difference]) -> str:
    proven = [each for each in found if each.p_same_images < SIGNIFICANCE]
    if not proven:
        return f"At a budget of {budget * 100:g}% no strategy is proven to differ from {BASELINE}."
    named = []
    for each in proven:
        reach = "" if each.p_new_images < SIGNIFICANCE else ", on these images only"
        named.append(f"{each.config.strategy} ({each.difference.mean * 100:+.1f} points{reach})")
    others = len(found) - len(proven)
    rest = f" Of the other {others} no difference is proven." if others else ""
    return f"At a budget of {budget * 100:g}% these differ from {BASELINE}: {', '.join(named)}.{rest}"


def _against(difference: Difference | None, points: Format) -> tuple[str, str, str]:
    if difference is None:
        return ("", "", "")
    return (
        points.show(difference.difference),
        _probability(difference.p_same_images),
        _probability(difference.p_new_images),
    )


def _probability(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def terminal_table(comparison: Comparison) -> Table:
    """For the terminal; the page has the intervals too."""
    # Without lines it fits into 80 columns.
    table = Table(title=comparison.title, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if number else "left", no_wrap=number == 0)
    for row in comparison.rows(intervals=False):
        table.add_row(*row)
    return table


def raw_numbers(comparison: Comparison) -> str:
    """CSV: a line a split and contender, shares from 0 to 1."""
    classes = comparison.data.classes
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    recalls = [f"{day}_recall_{name}" for day in ("monday", "tuesday") for name in classes]
    writer.writerow(["split", "strategy", "budget", "rehearsed", "monday", "tuesday", *recalls])
    for each in comparison.measurements:
        budget = "" if each.config.budget is None else each.config.budget
        shares = (each.monday, each.tuesday, *each.monday_recall, *each.tuesday_recall)
        writer.writerow(
            [each.split, each.config.strategy, budget, each.rehearsed, *(f"{share:.6f}" for share in shares)]
        )
    return text.getvalue()
