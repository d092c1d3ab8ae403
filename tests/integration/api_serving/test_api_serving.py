"""The API in the running stack, with the champion from the real registry."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from common.names import MODEL_NAME
from common.paths import REPOSITORY
from common.waiting import wait_until

if TYPE_CHECKING:
    from tests.conftest import Stack


@pytest.fixture
def api(stack: "Stack") -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.api_url, timeout=60, trust_env=False) as client:

        def ready() -> bool:
            try:
                return client.get("/readyz").is_success
            except httpx.TransportError:
                return False

        wait_until(ready, "the API serves the champion", 180)
        yield client


def _pictures(stack: "Stack", label: str) -> list[str]:
    folder = Path(stack.image_root) / "monday"
    return [f"{label}/{file.name}" for file in sorted((folder / label).iterdir())]


def test_background_is_class_0(api: httpx.Client, stack: "Stack") -> None:
    items = [{"image_path": path} for path in _pictures(stack, "background")[:40]]
    results = api.post("/predict/batch", json={"items": items}).json()["results"]
    right = [item for item in results if (item["target"], item["class_name"]) == (0, "background")]
    assert len(right) >= 0.9 * len(items)
    assert {item["model_version"] for item in results} == {api.get("/model").json()["version"]}


def test_every_way_to_ask_gives_the_same_answer(api: httpx.Client, stack: "Stack") -> None:
    path = _pictures(stack, "wood")[0]
    content = (Path(stack.image_root) / "monday" / path).read_bytes()
    one = api.post("/predict", json={"image_path": path}).json()
    [batched] = api.post("/predict/batch", json={"items": [{"image_path": path}]}).json()["results"]
    raw = api.post("/predict/upload", content=content, headers={"Content-Type": "image/jpeg"}).json()
    form = api.post("/predict/upload", files={"file": ("x.jpg", content)}).json()
    for other in (batched, raw, form):
        assert other["confidence"] == pytest.approx(one["confidence"], abs=1e-4)
        assert {**other, "confidence": 0} == {**one, "confidence": 0}


def test_model_names_its_run_and_metrics(api: httpx.Client, stack: "Stack") -> None:
    model = api.get("/model").json()
    assert model["name"] == MODEL_NAME
    assert model["note"] is None
    assert model["registry"] == stack.mlflow_uri
    assert model["metrics"]["test_accuracy"] > 0.5
    assert model["classes"] == sorted(model["classes"])


@pytest.mark.parametrize(
    ("path", "status"), [("../../etc/passwd", 422), ("background/%00.jpg", 404), ("background/none.jpg", 404)]
)
def test_bad_paths_are_client_errors(api: httpx.Client, path: str, status: int) -> None:
    answer = api.post("/predict", json={"image_path": path})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def _download(stack: "Stack", folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"API_SERVING_MLFLOW_TRACKING_URI": stack.mlflow_uri, "API_SERVING_MODEL_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "download_model.py", "--model-name", MODEL_NAME, *arguments],
        cwd=REPOSITORY / "api_serving",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_download_by_run_and_by_alias_is_the_same_model(api: httpx.Client, stack: "Stack", tmp_path: Path) -> None:
    run_id = api.get("/model").json()["run_id"]
    facts = []
    for arguments in (["--run-id", run_id], ["--alias", "champion"]):
        done = _download(stack, tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
        facts.append((tmp_path / "downloaded/model.json").read_text())
    assert facts[0] == facts[1]


@pytest.mark.parametrize("arguments", [["--run-id", "0" * 32], ["--run-id", "../x"], ["--alias", "nobody"]])
def test_download_of_what_is_not_there_is_one_line(stack: "Stack", tmp_path: Path, arguments: list[str]) -> None:
    done = _download(stack, tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {stack.mlflow_uri} has no ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "downloaded").exists()
