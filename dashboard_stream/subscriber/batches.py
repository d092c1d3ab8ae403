"""A batch on its way from messages to outcomes. Nothing here touches a network."""

from collections.abc import Iterable
from dataclasses import dataclass

from common.rows import CargoRow, InvalidMessage, parse_key, parse_message
from dashboard_stream.subscriber.messages import Message, Partition
from dashboard_stream.subscriber.outcomes import DeadLetter, Deletion, Kind, Outcomes, Prediction, SamePicture


@dataclass
class Item:
    """One message with what is known about it so far."""

    message: Message
    row: CargoRow | None = None
    outcome: Prediction | SamePicture | Deletion | DeadLetter | None = None

    @property
    def row_id(self) -> int | None:
        """Of the row that the message speaks for; None where it cannot be read."""
        if isinstance(self.outcome, Deletion):
            return self.outcome.id
        return self.row.id if self.row else None

    def refuse(self, kind: Kind, reason: str) -> None:
        """Make it a dead letter."""
        row_id = self.row.id if self.row else self.message.readable_id()
        self.outcome = DeadLetter(self.message, self.row, row_id, kind, _storable(reason))


class Batch:
    """The messages of one poll. Of several messages about one row only the newest counts."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = list(messages)
        newest: dict[int, Item] = {}
        unreadable: list[Item] = []
        for message in self._messages:
            item = _read(message)
            if item.row_id is None:
                unreadable.append(item)
            elif not _is_older(message, newest.get(item.row_id)):
                newest[item.row_id] = item
        self.items = [*newest.values(), *unreadable]

    def __len__(self) -> int:
        return len(self._messages)

    def pending(self) -> list[tuple[Item, CargoRow]]:
        """The items without an outcome, each with its row."""
        return [(item, item.row) for item in self.items if item.row and item.outcome is None]

    def outcomes(self) -> Outcomes:
        """Those that are known so far."""
        found = [item.outcome for item in self.items]
        return Outcomes(
            [outcome for outcome in found if isinstance(outcome, Prediction)],
            [outcome for outcome in found if isinstance(outcome, SamePicture)],
            [outcome for outcome in found if isinstance(outcome, Deletion)],
            [outcome for outcome in found if isinstance(outcome, DeadLetter)],
        )

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


def _is_older(message: Message, other: Item | None) -> bool:
    """Whether `message`, which came later, says what was before."""
    if other is None:
        return False
    mine, theirs = message.position(), other.message.position()
    return mine is not None and theirs is not None and mine < theirs


def _read(message: Message) -> Item:
    item = Item(message)
    if message.value is None and (deleted := parse_key(message.key)) is not None:
        # What Kafka calls a tombstone.
        item.outcome = Deletion(deleted, message.position())
        return item
    try:
        row = parse_message(message.value)
        if _storable(row.dataset + row.image_path) != row.dataset + row.image_path:
            raise InvalidMessage("the text holds characters that PostgreSQL cannot store")
        item.row = row
    except InvalidMessage as error:
        item.refuse("unreadable", str(error))
    return item


def _storable(text: str) -> str:
    """`text` without what PostgreSQL's text cannot hold (NUL, lone surrogates), and no longer than is useful."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:2000]
