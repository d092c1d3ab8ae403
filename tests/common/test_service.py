"""What a worker tells about itself."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.cli import UserError
from common.service import Health, serve_health
from common.waiting import retrying, wait_until


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def address(health: Health) -> Iterator[str]:
    server = serve_health(health, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_ready_says_what_is_missing(health: Health, address: str) -> None:
    health.lacks("broker", "refused")
    answer = httpx.get(f"{address}/readyz")
    assert (answer.status_code, answer.json()["missing"]) == (503, {"broker": "refused"})
    health.has("broker")
    assert httpx.get(f"{address}/readyz").status_code == 200


def test_metrics_and_unknown_paths(address: str) -> None:
    assert "python_info" in httpx.get(f"{address}/metrics").text
    assert httpx.get(f"{address}/").status_code == 404


def test_a_service_serves_more_of_its_own(health: Health) -> None:
    told: list[tuple[bool, dict[str, Any]]] = [(True, {"open": 3}), (False, {"reason": "no broker"})]
    answers = iter(told)
    server = serve_health(health, "127.0.0.1", 0, {"/stream": lambda: next(answers)})
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        good, bad = (httpx.get(f"{address}/stream") for _ in range(2))
        assert (good.status_code, good.json()["open"]) == (200, 3)
        assert (bad.status_code, bad.json()["reason"]) == (503, "no broker")
        assert "/stream" in httpx.get(f"{address}/").text
        assert httpx.get(f"{address}/livez").status_code == 200
    finally:
        server.shutdown()
        server.server_close()


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
