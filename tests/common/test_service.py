"""What a worker tells about itself."""

import time
from pathlib import Path

from common.health.state import Health


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


def test_a_note_is_told_and_keeps_nobody_from_working() -> None:
    health = Health()
    health.note("reference", "the model brings none")
    assert health.ready() == (True, {"missing": {}, "notes": {"reference": "the model brings none"}})
    health.note("reference", None)
    assert health.ready() == (True, {"missing": {}})
