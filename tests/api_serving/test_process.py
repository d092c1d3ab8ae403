"""The commands as a user types them, as real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from api_serving.settings import Settings
from common.paths import REPOSITORY
from common.waiting import wait_until
from tests.api_serving.process import api_process, is_ready

pytestmark = pytest.mark.services

FORMS = [("api_serving.app:app", "."), ("app:app", "api_serving")]


def _environment(settings: Settings, **more: str) -> dict[str, str]:
    names = {name: str(getattr(settings, name)) for name in ("image_root", "model_source", "model_dir", "workers")}
    return {**os.environ, **{f"API_SERVING_{name.upper()}": value for name, value in names.items()}, **more}


@pytest.mark.parametrize(("form", "folder"), FORMS)
def test_both_ways_to_start_predict_and_stop_cleanly(settings: Settings, form: str, folder: str) -> None:
    with api_process(form, folder, _environment(settings)) as (process, address):
        wait_until(lambda: is_ready(address), "the API is ready", 60)
        answer = httpx.post(f"{address}/predict", json={"image_path": "red/red_1.jpg"}, trust_env=False)
        assert answer.json()["class_name"] == "red"
        process.terminate()
        assert process.stderr
        log = process.stderr.read()
        assert process.wait(20) in {0, -signal.SIGTERM}
    assert "Traceback" not in log
    assert "POST /predict" in log
    assert "/readyz" not in log


def test_requests_in_flight_finish_before_the_process_ends(settings: Settings, encoded: Callable[..., bytes]) -> None:
    with api_process(*FORMS[0], _environment(settings)) as (process, address), ThreadPoolExecutor(1) as pool:
        wait_until(lambda: is_ready(address), "the API is ready", 60)
        image = encoded("green")

        def stopped_while_sending() -> Iterator[bytes]:
            yield image[:100]
            process.terminate()
            wait_until(lambda: not is_ready(address), "the server takes no new requests", 20)
            yield image[100:]

        call = pool.submit(httpx.post, f"{address}/predict/upload", content=stopped_while_sending(), trust_env=False)
        assert call.result(30).json()["class_name"] == "green"
        process.wait(20)


def test_wrong_settings_are_one_line(settings: Settings) -> None:
    with api_process(*FORMS[0], _environment(settings, API_SERVING_WORKERS="many")) as (process, _):
        assert process.stderr
        log = process.stderr.read()
        assert process.wait(20) == 3
    assert "Traceback" not in log
    assert "invalid settings for Settings (workers: " in log


def _download(settings: Settings, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "download_model.py", *arguments],
        cwd=REPOSITORY / "api_serving",
        env=_environment(settings, **environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_download_without_a_registry_is_one_line(settings: Settings) -> None:
    done = _download(settings, "--alias", "champion", API_SERVING_MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("error: http://127.0.0.1:9 cannot be reached. Start MLflow")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--alias", "champion", "--run-id", "x"], ["--nonsense"]])
def test_download_needs_exactly_one_version(settings: Settings, arguments: list[str]) -> None:
    done = _download(settings, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
