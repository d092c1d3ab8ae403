"""The page that a comparison leaves in the documentation, and its chart."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from model_registry.comparison.report import HEADINGS, Comparison
from model_registry.comparison.significance import SIGNIFICANCE, Interval
from model_registry.strategies import BASELINE


def markdown(comparison: Comparison, chart: str, raw: str, command: str) -> str:
    """The page; `chart` and `raw` are the names of the files beside it, `command` is what writes it anew."""
    data = comparison.data
    per_class = ["trained on", *(f"{day}: {name}" for day in ("monday", "tuesday") for name in data.classes)]
    recalls = [
        (each.config.name, *(f"{value * 100:.1f}" for value in (*each.monday_recall, *each.tuesday_recall)))
        for each in comparison.figures
    ]
    verdict = "\n".join(f"- {sentence}" for sentence in comparison.verdict())
    return f"""# Rehearsal strategies compared: {comparison.title}

Written by `{command}`; do not edit.

{len(data.images)} images of {len(data.classes)} classes ({", ".join(data.classes)}), each in a clean form (monday) and
a corrupted one (tuesday). {comparison.splits} random splits, four fifths to train on and one fifth held out, no image
on both sides in any form. Frozen backbone, linear head. A budget is a share of monday's training images.

{verdict}

![Accuracy on monday and tuesday]({chart})

## Accuracy

Percent of the held-out images, mean over the splits, with the 95 % confidence interval (bootstrap over the splits).
*Old* is the number of monday's images that were trained on, beside those of tuesday (except in `monday`).
*Forgotten* is what `monday` has on monday and the row has not, in points. *Against {BASELINE}* is the difference of
the means over both days at the same budget, in points. *p here*: how often luck with the splits of these very images
would make a difference this large if there were none (Wilcoxon). *p there*: the same for luck with the images, which
the splits share for the most part, so that it tells whether other images of the kind would show it too (corrected
resampled t-test). Both are corrected for the number of comparisons (Holm); below {SIGNIFICANCE} counts as proven.

{_markdown_table(HEADINGS, comparison.rows(intervals=True))}

## By class

Percent of each class's held-out images that were found.

{_markdown_table(per_class, recalls)}

Every figure of every split: [{raw}]({raw}).
"""


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---", *("---:" for _ in headings[1:])], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def chart(comparison: Comparison) -> Figure:
    """Both accuracies of each contender with their confidence intervals."""
    figures = comparison.figures
    figure = Figure(figsize=(9, 1.5 + 0.28 * len(figures)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, day in zip(axes, ("monday", "tuesday"), strict=True):
        values: list[Interval] = [getattr(each, day) for each in figures]
        middle = [value.mean * 100 for value in values]
        below = [(value.mean - value.low) * 100 for value in values]
        above = [(value.high - value.mean) * 100 for value in values]
        axis.errorbar(middle, range(len(values)), xerr=[below, above], fmt="o", markersize=4, capsize=2)
        axis.set_xlabel(f"accuracy on {day}, %")
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(figures)), [each.config.name for each in figures])
    axes[0].invert_yaxis()
    figure.suptitle(f"{comparison.title}: mean of {comparison.splits} splits, 95 % confidence")
    return figure
