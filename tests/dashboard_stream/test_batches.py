import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_stream.subscriber.batches import Batch
from dashboard_stream.subscriber.messages import EPOCH, SOURCE_TIME_HEADER, Message, Partition, SourcePosition
from dashboard_stream.subscriber.outcomes import DeadLetter, Deletion
from tests.dashboard_stream.conftest import MakeMessage, position

PLACE = Partition("rows", 0)


def letter_of(message: Message) -> DeadLetter:
    (letter,) = Batch([message]).outcomes().dead_letters
    return letter


def test_readable_messages_are_pending(message: MakeMessage) -> None:
    batch = Batch([message(1), message(2, offset=1)])
    assert [row.id for _, row in batch.pending()] == [1, 2]
    assert batch.outcomes().dead_letters == []


def test_the_last_message_about_a_row_counts(message: MakeMessage) -> None:
    batch = Batch([message(1, 0), message(2, 1), message(1, 2, image_path="brick/new.jpg")])
    assert {row.id: row.image_path for _, row in batch.pending()} == {1: "brick/new.jpg", 2: "wood/2.jpg"}
    assert len(batch) == 3
    assert batch.next_offsets() == {PLACE: 3}


def test_what_the_source_committed_last_counts_whenever_it_arrives(message: MakeMessage) -> None:
    newer = message(1, 0, committed_us=2, image_path="brick/new.jpg")
    (pending,) = Batch([newer, message(1, 1, committed_us=1)]).pending()
    assert pending[1].image_path == "brick/new.jpg"
    assert pending[0].message.position() == SourcePosition(EPOCH + timedelta(microseconds=2), 0)


@pytest.mark.parametrize("headers", [[], [(SOURCE_TIME_HEADER, b"x")], position(2**62), [(SOURCE_TIME_HEADER, b"1")]])
def test_a_message_that_does_not_say_when(headers: list[tuple[str, bytes]]) -> None:
    assert Message(PLACE, 0, b"1", None, headers).position() is None


def test_the_log_goes_back_in_a_restored_source_and_time_does_not() -> None:
    positions = [Message(PLACE, 0, b"1", None, position(*each)).position() for each in ((1, 900), (2, 10), (2, 11))]
    assert positions == sorted(positions, key=lambda each: each or SourcePosition(EPOCH, 0))
    assert len(set(positions)) == 3


def test_a_tombstone_is_a_deletion(message: MakeMessage) -> None:
    gone = Message(PLACE, 1, b"1", None, position(7))
    batch = Batch([message(1, committed_us=6), gone])
    assert batch.outcomes().deletions == [Deletion(1, gone.position())]
    assert batch.pending() == []
    again = Batch([gone, message(1, 2, committed_us=8)])
    assert again.outcomes().deletions == []
    assert len(again.pending()) == 1


def test_a_message_is_known_again_wherever_it_lies(message: MakeMessage) -> None:
    first = message(1)
    assert first.fingerprint() == replace(first, offset=9, partition=Partition("again", 2)).fingerprint()
    others = [
        replace(first, key=b"2"),
        replace(first, value=None),
        replace(first, timestamp_ms=1),
        replace(first, key=None),
        replace(first, key=b"", value=b"1" + (first.value or b"")),
    ]
    assert len({each.fingerprint() for each in (first, *others)}) == 6


def test_offsets_by_partition(message: MakeMessage) -> None:
    batch = Batch([message(1, 7), message(2, 8), message(3, 40, partition=1)])
    other = Partition("rows", 1)
    assert batch.first_offsets() == {PLACE: 7, other: 40}
    assert batch.next_offsets() == {PLACE: 9, other: 41}


def test_a_partition_taken_away_is_dropped(message: MakeMessage) -> None:
    batch = Batch([message(1, 7), message(3, 40, partition=1)])
    batch.keep({PLACE})
    assert [row.id for _, row in batch.pending()] == [1]
    assert batch.next_offsets() == {PLACE: 8}
    assert len(batch) == 1


@pytest.mark.parametrize(
    ("value", "key", "row_id", "reason"),
    [
        (b"not json", b"12", 12, "not JSON"),
        (b"not json", None, None, "not JSON"),
        (b"not json", b"{}", None, "not JSON"),
        (b"not json", b"true", None, "not JSON"),
        (b"not json", b"9223372036854775808", None, "not JSON"),
        (None, b"", None, "no value"),
        (b"", b"5", 5, "no value"),
        (b"[1]", b"\xff", None, "not an object"),
        (b"{}", None, None, "not an object"),
        (b'{"payload": null}', b"3", 3, "payload"),
        (b'{"payload": {"id": 8}}', b"9", 8, "payload field"),
        (b"[" * 100_000, None, None, "not JSON"),
    ],
)
def test_unreadable_message(value: bytes | None, key: bytes | None, row_id: int | None, reason: str) -> None:
    letter = letter_of(Message(PLACE, 3, key, value))
    assert (letter.id, letter.row, letter.kind) == (row_id, None, "unreadable")
    assert reason in letter.reason


@pytest.mark.parametrize("path", ["", "a" * 256, "a\x00b", "\ud800"])
def test_text_that_the_target_cannot_hold(message: MakeMessage, path: str) -> None:
    letter = letter_of(message(6, image_path=path))
    assert letter.id == 6
    letter.reason.encode()
    assert "\x00" not in letter.reason


def test_no_dataset_that_the_target_cannot_hold(message: MakeMessage) -> None:
    assert letter_of(message(6, dataset="\ud800")).id == 6


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = st.fixed_dictionaries(
    {},
    optional={
        name: json_values | st.sampled_from([1, "2026-11-21T04:35:23Z", "x"])
        for name in ("id", "timestamp", "dataset", "image_path", "target")
    },
)
values = st.none() | st.binary(max_size=40) | st.builds(lambda p: json.dumps({"payload": p}).encode(), fields)


@given(st.lists(st.tuples(st.none() | st.binary(max_size=12), values), max_size=6))
def test_whatever_comes_has_an_outcome_or_is_pending(contents: list[tuple[bytes | None, bytes | None]]) -> None:
    batch = Batch(Message(PLACE, offset, key, value) for offset, (key, value) in enumerate(contents))
    assert len(batch) == len(contents)
    known = batch.outcomes()
    assert len(batch.pending()) + len(known.deletions) + len(known.dead_letters) == len(batch.items)
    for letter in batch.outcomes().dead_letters:
        assert letter.reason
        letter.reason.encode()
