"""How a Kafka message becomes a row, and how it does not."""

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rows import CargoRow, InvalidMessage, parse_message

PAYLOAD = {
    "id": 1,
    "timestamp": "2026-11-21T04:35:23.123456Z",
    "dataset": "monday",
    "image_path": "background/background_1.jpg",
    "target": 0,
}


def message(**changes: object) -> bytes:
    return json.dumps({"schema": {}, "payload": {**PAYLOAD, **changes}}).encode()


def test_a_good_message_is_read_to_the_microsecond() -> None:
    row = parse_message(message())
    assert row.timestamp == datetime(2026, 11, 21, 4, 35, 23, 123456, UTC)
    assert (row.id, row.dataset, row.image_path, row.target) == (1, "monday", "background/background_1.jpg", 0)


def test_a_row_without_label_is_a_row() -> None:
    assert parse_message(message(target=None)).target is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "no value"),
        (b"not json", "not JSON"),
        (b"\xff\xfe\xfa", "not JSON"),
        (b"[1, 2]", "not an object with schema and payload"),
        (b"{}", "not an object with schema and payload"),
        (b"null", "not an object with schema and payload"),
        (b'{"payload": null}', "payload"),
        (message(id=None), "id"),
        (message(id="1"), "id"),
        (message(id=2**63), "id"),
        (message(timestamp="yesterday"), "timestamp"),
        (message(timestamp="2026-11-21T04:35:23"), "timestamp"),
        (message(image_path=None), "image_path"),
        (message(image_path="x" * 256), "image_path"),
        (message(target="brick"), "target"),
        (message(target=2**31), "target"),
    ],
)
def test_a_bad_message_says_why(value: bytes | None, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        parse_message(value)


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_no_bytes_raise_anything_else(value: bytes) -> None:
    with contextlib.suppress(InvalidMessage):
        assert isinstance(parse_message(value), CargoRow)
