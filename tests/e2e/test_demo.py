"""The README's first command, as a newcomer runs it, with a data set of the newcomer's own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from common.paths import REPOSITORY
from common.waiting import wait_until
from dashboard_stream.subscriber.batch_size import FIRST_ROWS
from local_stack.processes.probes import database_answers
from tests.e2e.conftest import CLASSES, IMAGES_A_CLASS
from tests.e2e.slow_proxy import slow_proxy
from tests.timeouts import WAIT_TIMEOUT_S

PORT_OFFSET = 10000
SECONDS_AN_IMAGE = 0.2
CLASSES_IMAGES = IMAGES_A_CLASS * len(CLASSES)


@pytest.fixture
def environment(own_images: Path) -> Iterator[dict[str, str]]:
    """A stack of its own, cleaned away at the end."""
    # Root's databases run as another user, who must reach their folder; pytest's own folders are private.
    state = Path("/tmp") / f"cargo-demo-{os.getpid()}"
    environment = {
        **os.environ,
        "CARGO_PORT_OFFSET": str(PORT_OFFSET),
        "LOCAL_STACK_STATE_DIR": str(state),
        "MONDAY_DIR": str(own_images),
        # A proxy for the rest of the world, where nothing listens: nothing of the stack is asked through it.
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    yield environment
    subprocess.run(["make", "clean-local"], cwd=REPOSITORY, env=environment, check=True, capture_output=True)
    shutil.rmtree(state, ignore_errors=True)


def test_a_demo_ends_with_every_row_accounted_for_however_long_an_image_takes(environment: dict[str, str]) -> None:
    with slow_proxy(f"http://127.0.0.1:{8000 + PORT_OFFSET}", SECONDS_AN_IMAGE) as proxy:
        answer = subprocess.run(
            ["make", "demo", "STORY=0", "DURATION=10"],
            cwd=REPOSITORY,
            env={**environment, "DASHBOARD_STREAM_API_URL": proxy.address},
            capture_output=True,
            text=True,
            check=False,
        )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = answer.stdout
    assert "has exactly one prediction or dead letter" in told
    assert "resident memory of the whole stack" in told
    assert "first prediction after" in told
    (streamed,) = re.findall(r"this machine predicts about \d+ images a second; the demo streams (\d+)", told)
    assert int(streamed) * SECONDS_AN_IMAGE > 1, "the stream asks for more than the way through the proxy carries"
    assert proxy.images > CLASSES_IMAGES
    assert proxy.largest <= FIRST_ROWS, "a batch fits the speed"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", 8000 + PORT_OFFSET)) != 0, "the demo left its API running"
    assert_own_classes_were_predicted(environment)


def assert_own_classes_were_predicted(environment: dict[str, str]) -> None:
    """Start only the target database again and look."""
    server = subprocess.Popen([sys.executable, "-m", "local_stack.launch", "target-postgres"], env=environment)
    try:
        url = f"postgresql://targetuser:targetpassword@127.0.0.1:{5433 + PORT_OFFSET}/targetdatabase"
        wait_until(lambda: database_answers(url), "target database", timeout_s=WAIT_TIMEOUT_S)
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            cursor.execute("select distinct split_part(image_path, '/', 1), label from cargo_prediction order by 2")
            assert cursor.fetchall() == [(name, index) for index, name in enumerate(sorted(CLASSES))]
            cursor.execute("select avg((target = label)::int) from cargo_prediction where dataset = 'monday'")
            accuracy = cursor.fetchone()
            assert accuracy is not None
            assert accuracy[0] > 0.8
        connection.close()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)
