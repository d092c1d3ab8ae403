"""The README's first command, as a newcomer runs it, with a data set of the newcomer's own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

from common.paths import REPOSITORY
from common.waiting import wait_until
from local_stack.probes import database_answers
from tests.e2e.conftest import CLASSES

PORT_OFFSET = 10000


@pytest.mark.timeout(420)
def test_demo_ends_by_itself_with_every_row_accounted_for(own_images: Path) -> None:
    # Root's databases run as another user, who must reach their folder; pytest's own folders are private.
    state = Path("/tmp") / f"cargo-demo-{os.getpid()}"
    environment = {
        **os.environ,
        "CARGO_PORT_OFFSET": str(PORT_OFFSET),
        "LOCAL_STACK_STATE_DIR": str(state),
        "MONDAY_DIR": str(own_images),
    }
    try:
        demo = subprocess.run(
            ["make", "demo", "STORY=0", "DURATION=20"],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert demo.returncode == 0, demo.stdout + demo.stderr
        assert "has exactly one prediction or dead letter" in demo.stdout
        assert "resident memory of the whole stack" in demo.stdout
        assert "first prediction after" in demo.stdout
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", 8000 + PORT_OFFSET)) != 0, "the demo left its API running"
        assert_own_classes_were_predicted(environment)
    finally:
        subprocess.run(["make", "clean-local"], cwd=REPOSITORY, env=environment, check=True, capture_output=True)
        shutil.rmtree(state, ignore_errors=True)


def assert_own_classes_were_predicted(environment: dict[str, str]) -> None:
    """Start only the target database again and look."""
    server = subprocess.Popen([sys.executable, "-m", "local_stack.launch", "target-postgres"], env=environment)
    try:
        url = f"postgresql://targetuser:targetpassword@127.0.0.1:{5433 + PORT_OFFSET}/targetdatabase"
        wait_until(lambda: database_answers(url), "target database", timeout_s=30)
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
