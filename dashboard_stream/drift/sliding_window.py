"""The last predictions of each model version that answers."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Place(NamedTuple):
    """Where a row is in the order in which rows are counted: the transaction that wrote it, and its id."""

    transaction: int
    id: int


@dataclass(frozen=True)
class PredictionRow:
    """A row of `cargo_prediction`, with what drift is measured on."""

    id: int
    predicted_at: datetime
    dataset: str
    image_path: str
    target: int
    label: int | None
    confidence: float
    model_version: str
    place: Place
    features: list[float] | None = None
    """Of its embedding, projected; None where none is kept."""


class Window:
    """The last `size` rows of one version.

    A check is due whenever `size + n * check_every` rows of the version were counted, however they arrive.
    """

    def __init__(self, size: int, check_every: int, rows: Iterable[PredictionRow] = (), since_check: int = 0) -> None:
        """With `rows` it goes on where another ended that had counted `since_check` of them after its last check."""
        self._size, self._check_every = size, check_every
        self._rows: deque[PredictionRow] = deque(rows, maxlen=size)
        self._counted = len(self._rows) + (since_check if len(self._rows) == size else 0)

    def __iter__(self) -> Iterator[PredictionRow]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def first(self) -> PredictionRow:
        """The oldest row."""
        return self._rows[0]

    @property
    def last(self) -> PredictionRow:
        """The newest row."""
        return self._rows[-1]

    def add(self, row: PredictionRow) -> bool:
        """Count `row`; whether a check is due now."""
        self._rows.append(row)
        self._counted += 1
        return self._counted >= self._size and (self._counted - self._size) % self._check_every == 0


class Windows:
    """One for each version that answers: API replicas in the middle of a swap answer with two.

    A version answers no more when `size` rows of others came without one of its own between them.
    """

    def __init__(self, size: int, check_every: int) -> None:
        self._size, self._check_every = size, check_every
        self._windows: dict[str, Window] = {}
        self._rows_without: dict[str, int] = {}

    @property
    def versions(self) -> list[str]:
        """Those that answer."""
        return list(self._windows)

    def resume(self, version: str, window: Window, rows_without: int) -> None:
        """Go on with a window; `rows_without` others came since its last row."""
        self._windows[version], self._rows_without[version] = window, rows_without

    def add(self, row: PredictionRow) -> tuple[Window | None, list[str]]:
        """Count `row`: its window where a check is due now, and the versions that answer no more."""
        version = row.model_version
        for other in self._rows_without:
            self._rows_without[other] += 1
        self._rows_without[version] = 0
        gone = [other for other, count in self._rows_without.items() if count >= self._size]
        for other in gone:
            del self._rows_without[other], self._windows[other]
        window = self._windows.setdefault(version, Window(self._size, self._check_every))
        return (window if window.add(row) else None), gone
