"""A generator beside the stack's own, which it holds back by what the subscriber says."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from common.settings import local_port
from common.waiting import wait_until
from tests.conftest import Stack
from tests.timeouts import WAIT_TIMEOUT_S

PORT = 29914
MOST_OPEN = 30
RATE = "40"


class Generator:
    """Its process, and what it says of itself."""

    def __init__(self, log: Path) -> None:
        environment = {
            **os.environ,
            "DATA_GENERATE_HEALTH_PORT": str(PORT),
            "DATA_GENERATE_SUBSCRIBER_URL": f"http://127.0.0.1:{local_port(9103)}",
            "DATA_GENERATE_MAX_OPEN_ROWS": str(MOST_OPEN),
            "DATA_GENERATE_RATE": RATE,
        }
        command = [sys.executable, "-m", "data_generate.data_generator"]
        with log.open("w") as file:
            self.process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=file)

    def metric(self, name: str) -> float:
        found = re.search(rf"^data_generator_{name}(?:{{.*}})? (\S+)$", get(PORT, "/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0

    def inserted(self) -> int:
        return int(self.metric("rows_inserted_total"))

    def is_held_back(self) -> bool:
        return self.metric("held_back") == 1

    def wait_for_more(self, rows: int) -> None:
        before = self.inserted()
        wait_until(lambda: self.inserted() >= before + rows, f"{rows} more rows", timeout_s=WAIT_TIMEOUT_S)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def one(stack: Stack, statement: str, after: int) -> int:
    with stack.source() if " cargo " in statement else stack.target() as database, database.cursor() as cursor:
        cursor.execute(statement, {"after": after})
        (number,) = cursor.fetchone() or (0,)
        return int(number)


def rows(stack: Stack, after: int) -> int:
    return one(stack, "select count(*) from cargo where id > %(after)s", after)


def outcomes(stack: Stack, after: int) -> int:
    return one(
        stack,
        "select (select count(*) from cargo_prediction where id > %(after)s and id < 8000000000)"
        " + (select count(*) from cargo_dead_letter where id > %(after)s and id < 8000000000)",
        after,
    )


@pytest.fixture
def quiet(stack: Stack) -> Iterator[int]:
    """The newest id, with nobody inserting and every row settled. Ids of 8 billion and more are other tests'."""
    stack.stop("data-generator")
    try:
        newest = one(stack, "select max(id) from cargo where id > %(after)s and id < 8000000000", 0)

        def settled() -> bool:
            lately = newest - 20
            arrived = rows(stack, lately) == outcomes(stack, lately)
            return arrived and '"open": 0' in get(local_port(9103), "/stream")[1]

        wait_until(settled, "every row settled", timeout_s=WAIT_TIMEOUT_S)
        yield newest
    finally:
        stack.start("data-generator")


def test_it_waits_for_subscriber_and_api_and_goes_on_with_them(stack: Stack, quiet: int, tmp_path: Path) -> None:
    generator = Generator(tmp_path / "generator.log")

    def waits(what: str) -> None:
        def held_back() -> bool:
            return generator.is_held_back() and rows(stack, quiet) > outcomes(stack, quiet)

        wait_until(held_back, f"held back without {what}", timeout_s=WAIT_TIMEOUT_S)
        assert rows(stack, quiet) - outcomes(stack, quiet) <= MOST_OPEN

    try:
        # Many more than may be open: it is the subscriber that lets it go on.
        generator.wait_for_more(2 * MOST_OPEN)
        stack.stop("data-subscriber")
        try:
            waits("subscriber")
            status, ready = get(PORT, "/readyz")
            assert (status, "rows are open, at most 30" in ready) == (200, True), ready
            wait_until(lambda: "cannot say" in get(PORT, "/readyz")[1], "the reason", timeout_s=WAIT_TIMEOUT_S)
            held_at = generator.inserted()
        finally:
            stack.start("data-subscriber")
        stack.wait_ready("data-subscriber")
        generator.wait_for_more(2 * MOST_OPEN)
        assert held_at <= generator.inserted() - 2 * MOST_OPEN
        stack.stop("api")
        try:
            waits("API")
            assert get(PORT, "/readyz")[0] == 200
        finally:
            stack.start("api")
        generator.wait_for_more(2 * MOST_OPEN)
        stack.stop("api")
        try:
            waits("API")
            generator.process.send_signal(signal.SIGTERM)
            assert generator.process.wait(timeout=10) == 0, (tmp_path / "generator.log").read_text()
        finally:
            stack.start("api")
    finally:
        if generator.process.poll() is None:
            generator.process.kill()
            generator.process.wait()
    wait_until(
        lambda: rows(stack, quiet) == outcomes(stack, quiet), "every row has its outcome", timeout_s=WAIT_TIMEOUT_S
    )
