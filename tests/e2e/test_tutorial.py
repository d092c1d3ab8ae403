"""The commands that tutorials show, each from its stage's folder, and the questions users ask by curl and psql."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageChops

from common.names import SINK_CONNECTOR, SOURCE_CONNECTOR
from common.paths import REPOSITORY
from common.settings import local_port
from common.waiting import wait_until
from local_stack.processes.probes import http_answers
from tests.conftest import Stack
from tests.timeouts import WAIT_TIMEOUT_S

TUTORIAL_API = 28088


def run_in(stage: str, *command: str) -> str:
    answer = subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY / stage, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_images_are_corrupted_from_the_stage_folder(stack: Stack, tmp_path: Path) -> None:
    clean = stack.image_root / "monday" / "background"
    run_in("data_prepare", "image_corruption.py", "-i", str(clean), "-o", str(tmp_path), "--type", "mixed")
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in clean.iterdir()}
    before, after = Image.open(clean / "background_13.jpg"), Image.open(tmp_path / "background_13.jpg")
    assert before.size == after.size
    assert ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox() is not None


def test_model_is_trained_and_loaded_from_the_stage_folder(stack: Stack) -> None:
    trained = run_in("model_registry", "save_model_to_registry.py", "--model-name", "sk_model")
    assert "registered as it was measured" in trained
    loaded = run_in("model_registry", "load_model_from_registry.py", "--model-name", "sk_model", "--alias", "champion")
    assert "accuracy" in loaded


def test_api_is_served_from_the_stage_folder(stack: Stack) -> None:
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(TUTORIAL_API)]
    server = subprocess.Popen(command, cwd=REPOSITORY / "api_serving", env=dict(os.environ))
    try:
        address = f"http://127.0.0.1:{TUTORIAL_API}"
        wait_until(lambda: http_answers(f"{address}/readyz"), "API from its own folder", timeout_s=WAIT_TIMEOUT_S)
        answer = httpx.post(f"{address}/predict", json={"image_path": "background/background_13.jpg"}, timeout=30)
        assert answer.json()["target"] == 0
    finally:
        server.terminate()
        # Having shut down in order, uvicorn ends by the signal that asked for it.
        assert server.wait(timeout=30) in {0, -signal.SIGTERM}


@pytest.mark.parametrize(("class_name", "target"), [("background", 0), ("brick", 1), ("concrete", 2), ("wood", 4)])
def test_the_api_predicts(stack: Stack, class_name: str, target: int) -> None:
    answers = [
        httpx.post(
            f"{stack.api_url}/predict", json={"image_path": f"{class_name}/{class_name}_{number}.jpg"}, timeout=30
        )
        for number in range(5)
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    # One of five may be wrong: these images are not all from the training side.
    assert sum(answer.json()["target"] == target for answer in answers) >= 4


def test_both_connectors_are_listed(stack: Stack) -> None:
    assert set(httpx.get(f"{stack.connect_url}/connectors").json()) >= {SOURCE_CONNECTOR, SINK_CONNECTOR}


def test_accuracy_falls_visibly_on_tuesday(stack: Stack) -> None:
    metrics = httpx.get(f"{stack.api_url}/model").json()["metrics"]
    assert metrics["test_accuracy"] >= 0.95
    assert 0.12 <= metrics["test_accuracy"] - metrics["test_accuracy_tuesday"] <= 0.30


def doctor() -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "250"}
    command = [sys.executable, "-m", "local_stack", "doctor"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_doctor_finds_nothing(stack: Stack) -> None:
    answer = doctor()
    assert answer.returncode == 0, answer.stdout
    assert "broken" not in answer.stdout


def test_the_doctor_names_the_broken_link(stack: Stack) -> None:
    stack.stop("object-store")
    try:
        answer = doctor()
        assert answer.returncode == 1
        assert "make logs S=object-store" in answer.stdout
    finally:
        stack.start("object-store")
        stack.wait_ready("object-store")


def test_a_second_stack_names_the_busy_ports(stack: Stack, tmp_path: Path) -> None:
    environment = {**os.environ, "LOCAL_STACK_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "local_stack", "up"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert f"{local_port(5432)} (source-postgres" in answer.stderr
    assert "CARGO_PORT_OFFSET" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_status_shows_every_service_ready(stack: Stack) -> None:
    command = [sys.executable, "-m", "local_stack", "status"]

    def answer() -> str | None:
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        return shown.stdout if shown.returncode == 0 else None

    assert "data-subscriber" in wait_until(answer, "every service ready", timeout_s=WAIT_TIMEOUT_S)
