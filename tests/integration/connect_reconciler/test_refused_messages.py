"""Messages that the target refuses: none holds the others up, is lost, or is dead-lettered twice."""

from collections.abc import Iterator
from typing import Any

import pytest

from common.names import SINK_CONNECTOR
from common.postgres import connect
from common.waiting import wait_until
from connect_reconciler.connect_client import ConnectClient, Offsets
from connect_reconciler.recovery import dead_letters
from connect_reconciler.recovery.refused_messages import skip_refused_messages
from tests.conftest import Stack
from tests.integration.connect_reconciler.rows_topic import IDS, Topic, arrives, message, query
from tests.timeouts import WAIT_TIMEOUT_S

REFUSED = {
    "path too long": {"image_path": "x" * 300},
    "no path": {"image_path": None},
    "no timestamp": {"timestamp": "yesterday"},
    "timestamp without zone": {"timestamp": "2026-11-21T04:35:23"},
    "character that PostgreSQL has no place for": {"dataset": "a\0b"},
}


@pytest.fixture
def topic(stack: Stack) -> Iterator[Topic]:
    opened = Topic(stack.kafka)
    yield opened
    opened.close()


def _sink_failed(client: ConnectClient) -> bool:
    status = client.connectors().get(SINK_CONNECTOR)
    return status is not None and status.failed


@pytest.mark.parametrize("changes", REFUSED.values(), ids=list(REFUSED))
def test_a_refused_message_becomes_one_dead_letter_and_holds_nothing_up(
    stack: Stack, topic: Topic, changes: dict[str, object]
) -> None:
    stack.wait_ready("connect-reconciler")
    row = {
        "id": next(IDS),
        "timestamp": "2026-11-21T04:35:23Z",
        "dataset": "monday",
        "image_path": "a/b.jpg",
        "target": 0,
    }
    value = message(row | changes)
    origin = topic.write(value, key=b"raw key")
    arrives(stack, topic.write_row())
    (letter,) = topic.letters_from(origin)
    assert (letter.key, letter.value) == (b"raw key", value)
    assert dict(letter.headers)[dead_letters.REASON]
    assert not query(stack, "target", "select id from cargo where id = %s", row["id"])


def test_what_is_no_row_at_all_becomes_one_dead_letter(stack: Stack, topic: Topic) -> None:
    origins = [topic.write(value) for value in (b"not json", b'{"payload": {}}', b"\xff\xfe", b"[" * 10_000)]
    arrives(stack, topic.write_row())
    assert [len(topic.letters_from(origin)) for origin in origins] == [1, 1, 1, 1]


class Death(BaseException):
    """Ends the program as a kill would: nothing in it may catch this."""


class DyingClient(ConnectClient):
    """Dies in place of one call, and after that does nothing more, as a killed program would not."""

    def __init__(self, url: str, dies_at: str) -> None:
        super().__init__(url)
        self._dies_at = dies_at
        self._dead = False

    def die(self) -> None:
        self._dead = True
        raise Death

    def stop(self, name: str) -> None:
        super().stop(name)
        if self._dies_at == "sink stopped":
            self.die()

    def put_sink_offsets(self, name: str, offsets: Offsets) -> None:
        if self._dies_at == "rows committed":
            self.die()
        super().put_sink_offsets(name, offsets)
        if self._dies_at == "offsets moved":
            self.die()

    def resume(self, name: str) -> None:
        if not self._dead:
            super().resume(name)


@pytest.mark.parametrize("dies_at", ["sink stopped", "letters written", "rows committed", "offsets moved"])
def test_killed_between_two_steps_nothing_is_lost_or_doubled(
    stack: Stack, topic: Topic, dies_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.wait_ready("connect-reconciler")
    stack.stop("connect-reconciler")
    client = DyingClient(stack.connect_url, dies_at)
    first = topic.write_row()
    refused = topic.write(message({"id": next(IDS), "timestamp": "yesterday", "dataset": "d", "image_path": "p"}))
    last = topic.write_row()
    wait_until(lambda: _sink_failed(client), "the sink at the refused message", timeout_s=WAIT_TIMEOUT_S)
    write = dead_letters.write
    if dies_at == "letters written":

        def write_and_die(letters: Any, bootstrap_servers: str) -> int:
            write(letters, bootstrap_servers)
            client.die()
            return 0

        monkeypatch.setattr(dead_letters, "write", write_and_die)
    target = connect(stack.target_url, "test")
    try:
        with pytest.raises(Death):
            skip_refused_messages(client, stack.kafka, target)
    finally:
        target.close()
        client.close()
        stack.start("connect-reconciler")
    for row in (first, last, topic.write_row()):
        arrives(stack, row)
    assert len(topic.letters_from(refused)) == 1
    stack.wait_ready("connect-reconciler")
