"""Whether a challenger may take the champion's place: judged on held-out images of every day seen, pure arithmetic.

Both models answer for the same images, so the differences are resampled in pairs. Each image counts as independent:
where many held-out images are cut from one photograph, chance is greater than the percentiles say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
DRAWS_AT_ONCE = 1_000_000
"""Bounds the memory, at 16 bytes a draw."""

PERCENTILE = 5.0
"""Of the resampled differences; what lies above 0 here is not chance, with 95 % on one side."""

Classes = npt.NDArray[np.int64]
"""Class indices, an image each."""


@dataclass(frozen=True)
class PairedPredictions:
    """What both models say of one day's held-out images, and what is true."""

    targets: Classes
    champion: Classes
    challenger: Classes

    def differences(self) -> Classes:
        """For each image 1 where only the challenger is right, -1 where only the champion is, else 0."""
        right = (self.challenger == self.targets).astype(np.int64)
        difference: Classes = right - (self.champion == self.targets)
        return difference

    def accuracies(self) -> tuple[float, float]:
        """Of champion and challenger, 0 to 1."""
        return float((self.champion == self.targets).mean()), float((self.challenger == self.targets).mean())


@dataclass(frozen=True)
class Latency:
    """Median time for a batch, in milliseconds."""

    champion_ms: float
    challenger_ms: float


@dataclass(frozen=True)
class Limits:
    """What the challenger must gain and may lose, as shares of 1, and how long a batch may take it."""

    gain: float
    day_loss: float
    class_loss: float
    latency_ms: float


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger passed."""

    passed: bool
    reasons: list[str]
    """A sentence for each rule that was broken; for each rule when none was."""

    figures: dict[str, Any]
    """All that was measured, as JSON can hold it."""


def bootstrap_lower_bound(differences: Classes, seed: int) -> float:
    """The `PERCENTILE` of the mean of `differences` over bootstrap resamples. More in any place never makes it less."""
    rng = np.random.default_rng(seed)
    size = len(differences)
    at_once = max(1, DRAWS_AT_ONCE // size)
    means = [
        differences[rng.integers(0, size, (min(at_once, RESAMPLES - done), size))].mean(axis=1)
        for done in range(0, RESAMPLES, at_once)
    ]
    return float(np.percentile(np.concatenate(means), PERCENTILE))


def evaluate_gate(
    days: Mapping[str, PairedPredictions],
    drifted: str,
    classes: Sequence[str],
    latency: Latency,
    limits: Limits,
    seed: int = 0,
) -> Verdict:
    """Compare the two models on `days`, of which `drifted` is the one to gain on and the others are the earlier ones.

    A day without images is refused: nothing would be proven there. That goes for a `drifted` that is not there, too.
    """
    kept: list[str] = []
    broken: list[str] = []
    figures: dict[str, Any] = {"limits": asdict(limits), "latency_ms": asdict(latency), "days": {}, "classes": {}}
    if drifted not in days:
        broken.append(f"{drifted}: no held-out image to judge on")
    for day, answers in days.items():
        if len(answers.targets) == 0:
            broken.append(f"{day}: no held-out image to judge on")
            continue
        champion, challenger = answers.accuracies()
        gain = float(answers.differences().mean())
        floor = bootstrap_lower_bound(answers.differences(), seed)
        figures["days"][day] = {
            "images": len(answers.targets),
            "champion": champion,
            "challenger": challenger,
            "gain": gain,
            "gain_5th_percentile": floor,
        }
        measured = f"{day}: {champion:.1%} → {challenger:.1%} on {len(answers.targets)} images, {_points(gain)} points"
        if day == drifted:
            measured += f" (5th percentile {_points(floor)}), needed {_points(limits.gain)} and more than chance"
            good = gain >= limits.gain and floor > 0
        else:
            measured += f", at most {100 * limits.day_loss:.1f} may be lost"
            good = gain >= -limits.day_loss
        (kept if good else broken).append(measured)
    broken += _lost_classes(days, classes, limits, seed, figures["classes"])
    kept.append(f"no class lost more than {100 * limits.class_loss:.1f} points beyond chance")
    measured = f"latency {latency.challenger_ms:.0f} ms a batch (champion {latency.champion_ms:.0f} ms)"
    (kept if latency.challenger_ms <= limits.latency_ms else broken).append(
        f"{measured}, at most {limits.latency_ms:.0f} ms allowed"
    )
    return Verdict(not broken, broken or kept, figures)


def _lost_classes(
    days: Mapping[str, PairedPredictions], classes: Sequence[str], limits: Limits, seed: int, figures: dict[str, Any]
) -> list[str]:
    """A sentence for each class that is found less often by more than the limit, unless that may be chance."""
    targets = np.concatenate([answers.targets for answers in days.values()])
    differences = np.concatenate([answers.differences() for answers in days.values()])
    sentences = []
    for index, name in enumerate(classes):
        losses = -differences[targets == index]
        if len(losses) == 0:
            continue
        loss, floor = float(losses.mean()), bootstrap_lower_bound(losses, seed)
        figures[name] = {"images": len(losses), "loss": loss, "loss_5th_percentile": floor}
        if loss > limits.class_loss and floor > 0:
            sentences.append(
                f"class {name}: {_points(-loss)} points over all days on {len(losses)} images (5th percentile of the "
                f"loss {100 * floor:.1f}), at most {100 * limits.class_loss:.1f} may be lost"
            )
    return sentences


def _points(share: float) -> str:
    """Percentage points with their sign."""
    return f"{100 * share:+.1f}"
