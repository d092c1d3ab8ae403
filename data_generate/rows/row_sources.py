"""What a generated row is, one class a table."""

import csv
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from data_generate.rows.manifests import Item, Manifest
from data_generate.rows.mixes import Mix

Row = tuple[object, ...]

IRIS = Path(__file__).with_name("iris.csv")


class RowSource(Protocol):
    """Picks rows for one table. `columns` name a row's values, the label last; the table has a column `id` besides."""

    table: str
    columns: tuple[str, ...]

    def pick(self, count: int, mix: Mix) -> list[Row]:
        """`count` rows of the data sets of `mix`."""

    def origin(self, row: Row) -> str:
        """The data set that a row came from, for the metrics."""


class CargoRows:
    """Images of the data sets that are known, each data set in passes: every image once, in an order drawn anew.

    So an image is as likely as any other of its data set, and it does not come again before the others came.
    """

    table = "cargo"
    columns: tuple[str, ...] = ("dataset", "image_path", "target")

    def __init__(self, manifests: Iterable[Manifest], seed: int | None) -> None:
        """With a seed the picks are the same every time, however many are made at once."""
        self._seed = seed
        self._chance = self._new_generator("")
        self._passes: dict[str, _EpochSampler] = {}
        for manifest in manifests:
            self.add(manifest)

    def knows(self, dataset: str) -> bool:
        """Whether rows of it can be picked."""
        return dataset in self._passes

    def add(self, manifest: Manifest) -> None:
        """Let rows of it be picked."""
        self._passes[manifest.dataset] = _EpochSampler(manifest.items, self._new_generator(manifest.dataset))

    def pick(self, count: int, mix: Mix) -> list[Row]:
        """Draw the data set by its fraction, then take its next image."""
        datasets = self._chance.choices(list(mix), weights=list(mix.values()), k=count)
        items = ((name, self._passes[name].take()) for name in datasets)
        return [(name, item.image_path, item.target) for name, item in items]

    def origin(self, row: Row) -> str:
        """The first column."""
        return str(row[0])

    def _new_generator(self, purpose: str) -> random.Random:
        """One for each purpose: what one data set draws changes nothing for another."""
        return random.Random(None if self._seed is None else f"{self._seed} {purpose}")  # noqa: S311 - a demonstration


class _EpochSampler:
    def __init__(self, items: Sequence[Item], chance: random.Random) -> None:
        self._items, self._chance = items, chance
        self._left: list[Item] = []

    def take(self) -> Item:
        if not self._left:
            self._left = self._chance.sample(self._items, len(self._items))
        return self._left.pop()


class IrisRows:
    """The 150 flowers of Fisher's iris, with scikit-learn's names: from a file, as its package is 200 MB."""

    table = "iris_data"

    def __init__(self, seed: int | None) -> None:
        with IRIS.open(newline="") as file:
            names, *flowers = csv.reader(file)
        self.columns: tuple[str, ...] = tuple(names)
        self._rows: Sequence[Row] = [(*map(float, measures), int(kind)) for *measures, kind in flowers]
        self._chance = random.Random(seed)  # noqa: S311 - a demonstration

    def pick(self, count: int, mix: Mix) -> list[Row]:
        """Any flower, whatever the mix."""
        return self._chance.choices(self._rows, k=count)

    def origin(self, row: Row) -> str:
        """There is one data set only."""
        return "iris"
