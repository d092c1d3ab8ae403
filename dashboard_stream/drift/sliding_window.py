"""The last predictions of the model version that serves."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime


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
    features: list[float] | None = None
    """Of its embedding, projected; None where none is kept."""

    @property
    def place(self) -> tuple[datetime, int]:
        """Where it is in the order in which predictions are counted."""
        return self.predicted_at, self.id


class Window:
    """The last `size` predictions, all of one model version: another version begins anew.

    A check is due whenever `size + n * check_every` predictions of the version were counted, however they arrive.
    """

    def __init__(self, size: int, check_every: int) -> None:
        self._size, self._check_every = size, check_every
        self._rows: deque[PredictionRow] = deque(maxlen=size)
        self._counted = 0

    def __iter__(self) -> Iterator[PredictionRow]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def first(self) -> PredictionRow:
        """The oldest prediction."""
        return self._rows[0]

    @property
    def last(self) -> PredictionRow:
        """The newest prediction."""
        return self._rows[-1]

    @property
    def model_version(self) -> str | None:
        """Whose predictions these are; None while there are none."""
        return self._rows[-1].model_version if self._rows else None

    def add(self, row: PredictionRow) -> bool:
        """Count `row`; whether a check is due now."""
        if row.model_version != self.model_version:
            self._rows.clear()
            self._counted = 0
        self._rows.append(row)
        self._counted += 1
        return self._counted >= self._size and (self._counted - self._size) % self._check_every == 0
