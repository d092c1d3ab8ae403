"""What a worker tells about itself."""

import time
from pathlib import Path

import pytest

from common.cli import UserError
from common.service import Health
from common.waiting import retrying, wait_until


def test_a_loop_that_stands_still_is_not_live() -> None:
    health = Health(stale_after_s=0.01)
    health.beat()
    assert health.live()[0]
    time.sleep(0.02)
    assert not health.live()[0]


def test_each_beat_touches_the_heartbeat_file(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "heartbeat"
    Health(file).beat()
    assert file.exists()


def test_waiting_ends_with_what_was_awaited() -> None:
    with pytest.raises(UserError, match=r"the moon is made of cheese: not so after 0\.05 s"):
        wait_until(lambda: False, "the moon is made of cheese", timeout_s=0.05, interval_s=0.01)
    answers = iter([0, 0, 7])
    assert wait_until(lambda: next(answers), "seven", timeout_s=5, interval_s=0.001) == 7


def test_retrying_raises_the_last_error_in_the_end() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise ConnectionError("still away")

    with pytest.raises(ConnectionError, match="still away"):
        retrying("it", ConnectionError, timeout_s=0.5)(call)
    assert len(calls) >= 2


def test_a_note_is_told_and_keeps_nobody_from_working() -> None:
    health = Health()
    health.note("reference", "the model brings none")
    assert health.ready() == (True, {"missing": {}, "notes": {"reference": "the model brings none"}})
    health.note("reference", None)
    assert health.ready() == (True, {"missing": {}})
