"""A batch on its way from messages to outcomes. Nothing here touches a network."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from common.rows import CargoRow, InvalidMessage, parse_message

Kind = Literal["unreadable", "refused by the API", "refused by the database"]


class Partition(NamedTuple):
    """Where messages are in order."""

    topic: str
    number: int


@dataclass(frozen=True)
class Message:
    """A Kafka message as it came."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None

    def place(self) -> str:
        """Topic, partition and offset, for messages."""
        return f"{self.partition.topic}/{self.partition.number}@{self.offset}"


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

    @property
    def embedding_record(self) -> tuple[int, str, str, bytes] | None:
        """The row's entry among the kept embeddings; None where there is nothing to keep."""
        if self.content is None or self.embedding is None or self.embedding_method is None:
            return None
        return self.row.id, self.content, self.embedding_method, self.embedding


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


@dataclass
class Item:
    """One message with what is known about it so far."""

    message: Message
    row: CargoRow | None = None
    outcome: Prediction | DeadLetter | None = None

    def refuse(self, kind: Kind, reason: str) -> None:
        """Make it a dead letter."""
        row_id = self.row.id if self.row else _readable_id(self.message)
        self.outcome = DeadLetter(self.message, self.row, row_id, kind, _storable(reason))


class Batch:
    """The messages of one poll. Of several messages about one row only the last counts."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = list(messages)
        last_of_row: dict[int, Item] = {}
        unreadable: list[Item] = []
        for message in self._messages:
            item = _read(message)
            if item.row:
                last_of_row[item.row.id] = item
            else:
                unreadable.append(item)
        self.items = [*last_of_row.values(), *unreadable]

    def __len__(self) -> int:
        return len(self._messages)

    def pending(self) -> list[tuple[Item, CargoRow]]:
        """The items without an outcome, each with its row."""
        return [(item, item.row) for item in self.items if item.row and item.outcome is None]

    def predictions(self) -> list[Prediction]:
        """The outcomes that are predictions."""
        return [item.outcome for item in self.items if isinstance(item.outcome, Prediction)]

    def dead_letters(self) -> list[DeadLetter]:
        """The outcomes that are dead letters."""
        return [item.outcome for item in self.items if isinstance(item.outcome, DeadLetter)]

    def next_offsets(self) -> dict[Partition, int]:
        """What to commit once every outcome is stored: the offset after the last message, by partition."""
        return {message.partition: message.offset + 1 for message in self._messages}

    def first_offsets(self) -> dict[Partition, int]:
        """Where the batch begins, by partition."""
        return {message.partition: message.offset for message in reversed(self._messages)}

    def keep(self, partitions: set[Partition]) -> None:
        """Drop the messages of all other partitions; they are uncommitted, so whoever owns those reads them again."""
        self._messages = [message for message in self._messages if message.partition in partitions]
        self.items = [item for item in self.items if item.message.partition in partitions]


def _read(message: Message) -> Item:
    item = Item(message)
    try:
        row = parse_message(message.value)
        if _storable(row.dataset + row.image_path) != row.dataset + row.image_path:
            raise InvalidMessage("the text holds characters that PostgreSQL cannot store")
        item.row = row
    except InvalidMessage as error:
        item.refuse("unreadable", str(error))
    return item


def _readable_id(message: Message) -> int | None:
    """The row id in the value's payload, else in the key, as far as they can be read."""
    for text, path in ((message.value, ("payload", "id")), (message.key, ())):
        try:
            found = json.loads(text or b"")
            for step in path:
                found = found[step]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if type(found) is int and -(2**63) <= found < 2**63:
            return found
    return None


def _storable(text: str) -> str:
    """`text` without what PostgreSQL's text cannot hold (NUL, lone surrogates), and no longer than is useful."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:2000]
