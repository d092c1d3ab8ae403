"""Kafka messages as they come, and what each says beside its row. Nothing here touches a network."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from common.rows import is_row_id, parse_key

SOURCE_TIME_HEADER, SOURCE_LSN_HEADER = "__source_ts_us", "__source_lsn"
"""Written by the source connector: `transforms.unwrap.add.headers`."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Partition(NamedTuple):
    """Where messages are in order."""

    topic: str
    number: int


class SourcePosition(NamedTuple):
    """When the source committed what a message says, and where in its log. What is newer is greater.

    The time comes first: a source that was restored from a backup goes back in its log, but not in time.
    """

    time: datetime
    lsn: int


@dataclass(frozen=True)
class Message:
    """A Kafka message as it came."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int = 0

    def place(self) -> str:
        """Topic, partition and offset, for messages."""
        return f"{self.partition.topic}/{self.partition.number}@{self.offset}"

    def position(self) -> SourcePosition | None:
        """None where the headers do not say it."""
        headers = dict(self.headers)
        try:
            time_us, lsn = int(headers[SOURCE_TIME_HEADER]), int(headers[SOURCE_LSN_HEADER])
            return SourcePosition(EPOCH + timedelta(microseconds=time_us), lsn)
        except (KeyError, ValueError, TypeError, OverflowError):
            return None

    def fingerprint(self) -> str:
        """What tells it from every other message, and stays when the topic is made anew."""
        digest = hashlib.sha256(str(self.timestamp_ms).encode())
        for part in (self.key, self.value):
            digest.update(b"-" if part is None else f"{len(part)}:".encode() + part)
        return digest.hexdigest()

    def readable_id(self) -> int | None:
        """The row id in the value's payload, else in the key, as far as they can be read."""
        try:
            found = json.loads(self.value or b"")["payload"]["id"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return parse_key(self.key)
        return found if is_row_id(found) else parse_key(self.key)
