"""What may become of a message."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from common.rows import CargoRow
from dashboard_stream.subscriber.messages import Message, SourcePosition

Kind = Literal["unreadable", "refused by the API", "refused by the database"]


@dataclass(frozen=True)
class Prediction:
    """What the API said about a row, and when."""

    row: CargoRow
    target: int
    class_name: str
    confidence: float
    model_version: str
    predicted_at: datetime
    content: str | None = None
    """SHA-256 of the picture's bytes."""
    embedding: bytes | None = None
    """1280 little-endian float16."""
    embedding_method: str | None = None
    position: SourcePosition | None = None

    @property
    def embedding_record(self) -> tuple[int, str, str, bytes] | None:
        """The row's entry among the kept embeddings; None where there is nothing to keep."""
        if self.content is None or self.embedding is None or self.embedding_method is None:
            return None
        return self.row.id, self.content, self.embedding_method, self.embedding


@dataclass(frozen=True)
class SamePicture:
    """The row's picture has its prediction already: only its label may be news."""

    row: CargoRow
    position: SourcePosition | None


@dataclass(frozen=True)
class Deletion:
    """The row was deleted in the source."""

    id: int
    position: SourcePosition | None


@dataclass(frozen=True)
class DeadLetter:
    """A message that cannot become a prediction. `id` is None where no row id could be read.

    `row` is None for an unreadable message: then `id` is a guess from what could be read, and nothing known about
    that row is overwritten.
    """

    message: Message
    row: CargoRow | None
    id: int | None
    kind: Kind
    reason: str


class Outcomes(NamedTuple):
    """Those of a batch, by kind."""

    predictions: list[Prediction]
    same_pictures: list[SamePicture]
    deletions: list[Deletion]
    dead_letters: list[DeadLetter]
