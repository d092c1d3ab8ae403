"""How often the drift monitor is wrong, and how soon it is right, beside what one would otherwise use.

Streams are drawn from embeddings of the images in monday/ and tuesday/ of a folder, and checked by the monitor's own
code. Beside it: a Kolmogorov-Smirnov test of the confidences and a permutation test of the MMD, each at p < 1 %.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import ks_2samp
from threadpoolctl import threadpool_limits

from benchmarks.drift_material import Material, materials
from common.cli import run
from common.paths import IMAGE_ROOT
from dashboard_stream.drift.checks import Detectors
from dashboard_stream.drift.sliding_window import PredictionRow, Window
from dashboard_stream.settings import Settings as StreamSettings
from model_registry.comparison.paired_images import paired_images
from model_registry.settings import Settings as RegistrySettings

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)
console = Console(width=120)

LENGTH = 300
P_VALUE = 0.01
PERMUTATIONS = 200
KS = "KS test of confidences"
MMD = "MMD permutation test"

Verdicts = dict[str, bool]


@dataclass
class Tally:
    """What one detector did on all streams of one kind."""

    checks: int = 0
    false_checks: int = 0
    streams: int = 0
    false_streams: int = 0
    delays: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))

    def cells(self) -> Iterator[str]:
        yield f"{self.false_checks / self.checks:.2%}"
        yield f"{self.false_streams / self.streams:.1%}"
        for share in (1.0, 0.5):
            p50, p90 = np.quantile(self.delays[share], (0.5, 0.9), method="higher")
            yield " / ".join(f"{delay:.0f}" if np.isfinite(delay) else f"> {LENGTH}" for delay in (p50, p90))


class Contenders:
    """All detectors for one reference: ours, and two textbook tests."""

    def __init__(self, material: Material, window: int, rng: np.random.Generator, seconds: list[float]) -> None:
        self._detectors = Detectors(material.reference, window)
        self._uncertainties = 1 - np.array(material.reference.confidences)
        self._features = np.array(material.reference.features)
        self._rng, self._seconds = rng, seconds

    def check(self, rows: list[PredictionRow], known: set[str]) -> Verdicts:
        """What each says of a window; of the slow textbook tests those that are not `known` to have given alarm."""
        began = time.perf_counter()
        checks = [*self._detectors.check_predictions(rows), *self._detectors.check_labels(rows)]
        self._seconds.append(time.perf_counter() - began)
        verdicts = {f"monitor: {check.detector}": check.alarm for check in checks}
        uncertainties = np.array([1 - row.confidence for row in rows])
        if KS not in known:
            verdicts[KS] = bool(ks_2samp(uncertainties, self._uncertainties).pvalue < P_VALUE)
        if MMD not in known:
            verdicts[MMD] = self._mmd_p_value(np.array([row.features for row in rows])) < P_VALUE
        return verdicts

    def _mmd_p_value(self, features: np.ndarray) -> float:
        both = np.concatenate([features, self._features])
        squares = (both**2).sum(axis=1)
        distances = np.maximum(squares[:, None] + squares - 2 * both @ both.T, 0)
        kernel = np.exp(-distances / np.median(distances[np.triu_indices(len(both), 1)]))
        side = np.concatenate(
            [np.full(len(features), 1 / len(features)), np.full(len(self._features), -1 / len(self._features))]
        )
        sides = np.concatenate([[side], self._rng.permuted(np.tile(side, (PERMUTATIONS, 1)), axis=1)])
        scores = np.einsum("ij,ij->i", sides @ kernel, sides)
        return float((scores >= scores[0] - 1e-12).mean())


def play(
    rows: list[PredictionRow], contenders: Contenders, settings: StreamSettings, whole: bool
) -> list[tuple[int, Verdicts]]:
    """The verdicts of each check of a full window, with the number of images after the change."""
    window = Window(settings.drift_window, settings.drift_check_every)
    before, found, alarmed = len(rows) - LENGTH, [], set[str]()
    for number, row in enumerate(rows, start=1):
        # The clean stream of 300 begins with an empty window; the changed one follows clean images.
        if window.add(row) and (number > before or whole):
            verdicts = contenders.check(list(window), set() if whole else alarmed)
            found.append((number - before, verdicts))
            alarmed |= {name for name, alarm in verdicts.items() if alarm}
    return found


def measure(
    material: Material,
    tallies: dict[str, Tally],
    contenders: Contenders,
    settings: StreamSettings,
    rng: np.random.Generator,
) -> None:
    """One clean, one corrupted and one half corrupted stream."""
    clean = play(material.stream(LENGTH, 0, rng)[-LENGTH:], contenders, settings, whole=True)
    for name in clean[0][1]:
        alarms = [verdicts[name] for _, verdicts in clean]
        tally = tallies[name]
        tally.checks += len(alarms)
        tally.false_checks += sum(alarms)
        tally.streams += 1
        tally.false_streams += any(alarms)
    for share in (1.0, 0.5):
        found = play(material.stream(LENGTH, share, rng), contenders, settings, whole=False)
        for name in clean[0][1]:
            tallies[name].delays[share].append(next((n for n, verdicts in found if verdicts.get(name)), np.inf))


def table(title: str, tallies: dict[str, Tally]) -> Table:
    columns = (
        "detector",
        "false per check",
        "false per stream",
        "all corrupted, p50 / p90",
        "half corrupted, p50 / p90",
    )
    made = Table(*columns, title=title)
    for name, tally in tallies.items():
        made.add_row(name, *tally.cells())
    return made


@app.command(help=__doc__)
def main(
    image_root: Annotated[Path, typer.Option(help="Folder that holds monday/ and tuesday/.")] = IMAGE_ROOT,
    group_pattern: Annotated[
        str | None, typer.Option(help="Images whose file names share what its groups capture stay in one fold.")
    ] = None,
    streams: Annotated[int, typer.Option(min=10, help="Streams of each kind.")] = 200,
    seeds: Annotated[int, typer.Option(min=1, help="Random foldings in five; a model is trained for each fold.")] = 4,
) -> None:
    """Measure, and print."""
    # Matrices this small are not worth threads that wait for each other.
    threadpool_limits(1)
    settings = StreamSettings()
    data = paired_images(RegistrySettings(image_root=image_root))
    pairs = list(track(materials(data, group_pattern, seeds), "training", seeds * 5, console=Console(stderr=True)))
    seconds: list[float] = []
    kinds: tuple[tuple[str, Callable[[int], Material]], ...] = (
        ("new images", lambda n: pairs[n % len(pairs)][0]),
        ("all images, four in five of them trained on in their clean form", lambda n: pairs[n % len(pairs)][1]),
    )
    for title, of in kinds:
        rng = np.random.default_rng(0)
        tallies: dict[str, Tally] = defaultdict(Tally)
        for number in track(range(streams), title, console=Console(stderr=True)):
            contenders = Contenders(of(number), settings.drift_window, rng, seconds)
            measure(of(number), tallies, contenders, settings, rng)
        console.print(table(f"{title}: {streams} streams of each kind, delays in images", tallies))
    size = len(pairs[0][0].reference.confidences)
    console.print(
        f"{len(data.images)} images, {len(pairs)} models, references of about {size};"
        f" windows of {settings.drift_window}, a check every {settings.drift_check_every} images."
        f" A check takes {np.median(seconds) * 1000:.2f} ms (p99 {np.quantile(seconds, 0.99) * 1000:.2f} ms)."
    )


if __name__ == "__main__":
    run(app)
