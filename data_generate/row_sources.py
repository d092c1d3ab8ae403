"""What a generated row is, one class a table."""

import csv
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from data_generate.manifests import Manifest
from data_generate.mixes import Schedule

Row = tuple[object, ...]

IRIS = Path(__file__).with_name("iris.csv")


class RowSource(Protocol):
    """Picks rows for one table. `columns` name a row's values; the table has an identity column `id` besides."""

    table: str
    columns: tuple[str, ...]

    def pick(self, count: int, elapsed_s: float) -> list[Row]:
        """`count` rows, as they are drawn `elapsed_s` seconds after the start."""

    def origin(self, row: Row) -> str:
        """The data set that a row came from, for the metrics."""


class CargoRows:
    """Images of the data sets that the schedule names, each as likely as any other of its data set."""

    table = "cargo"
    columns: tuple[str, ...] = ("dataset", "image_path", "target")

    def __init__(self, manifests: Mapping[str, Manifest], schedule: Schedule, chance: random.Random) -> None:
        self._manifests, self._schedule, self._chance = manifests, schedule, chance

    def pick(self, count: int, elapsed_s: float) -> list[Row]:
        """Draw the data set by its fraction, then an image of it."""
        mix = self._schedule.at(elapsed_s)
        datasets = self._chance.choices(list(mix), weights=list(mix.values()), k=count)
        items = ((name, self._chance.choice(self._manifests[name].items)) for name in datasets)
        return [(name, item.image_path, item.target) for name, item in items]

    def origin(self, row: Row) -> str:
        """The first column."""
        return str(row[0])


class IrisRows:
    """The 150 flowers of Fisher's iris, with scikit-learn's names: from a file, as its package is 200 MB."""

    table = "iris_data"

    def __init__(self, chance: random.Random) -> None:
        with IRIS.open(newline="") as file:
            names, *flowers = csv.reader(file)
        self.columns: tuple[str, ...] = tuple(names)
        self._rows: Sequence[Row] = [(*map(float, measures), int(kind)) for *measures, kind in flowers]
        self._chance = chance

    def pick(self, count: int, elapsed_s: float) -> list[Row]:
        """Any flower, at any time."""
        return self._chance.choices(self._rows, k=count)

    def origin(self, row: Row) -> str:
        """There is one data set only."""
        return "iris"
