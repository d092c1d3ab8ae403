"""Models: what is refused, what is kept on disk, and what answers while the registry is away."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api_serving.app import create_app
from api_serving.models.classifier import load_classifier
from api_serving.models.model_cache import FACTS_FILE, MODEL_FILE, NoModelOnDisk, read_model, write_model
from api_serving.models.model_loader import ModelLoader
from api_serving.models.model_metadata import InvalidModel
from api_serving.settings import Settings
from common.waiting import wait_until
from tests.api_serving import tiny_model
from tests.api_serving.running import running

NOWHERE = "http://127.0.0.1:9"


def test_a_good_model_answers(tmp_path: Path) -> None:
    classifier = load_classifier(tiny_model.build(tmp_path / "m.onnx"), threads=1)
    red = np.zeros((5, 224, 224, 3), np.uint8)
    red[..., 0] = 255
    assert classifier.classes == ("blue", "green", "red")
    assert classifier.probabilities(red).argmax(axis=1).tolist() == [2] * 5


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"classes": None}, "no JSON list"),
        ({"classes": "[not json"}, "no JSON list"),
        ({"classes": {"a": 1}}, "not a list of names"),
        ({"classes": ["a", 1, "b"]}, "not a list of names"),
        ({"classes": ["a", "a", "b"]}, "twice"),
        ({"outputs": 4}, "3 classes"),
        ({"probabilities": "other"}, "has the wrong form"),
        ({"activation": "Exp"}, "sum to 1"),
        ({"activation": "Log"}, "sum to 1"),
        ({"batch": 1}, "has the wrong form"),
        ({"embedding": np.nan}, "numbers an image"),
        ({"embedding": 1e9}, "float16 can hold"),
        ({"embedding": 1.0, "embedding_rank": 3}, "one row"),
        ({"metadata": {"embedding": '{"backbone": "", "precision": "float32"}'}}, "`embedding`"),
        ({"metadata": {"self_test": "{}"}}, "self_test"),
        ({"metadata": {"self_test": '{"seed": 0, "images": 1, "probabilities": [[0, 0, 1]]}'}}, "self_test"),
        ({"metadata": {"self_test": '{"seed": 0, "images": 1000000, "probabilities": []}'}}, "self_test"),
        ({"metadata": {"self_test": '{"seed": 0, "images": 2, "probabilities": [[0, 1], [0, 1]]}'}}, "one probability"),
        (
            {"metadata": {"self_test": '{"seed": 0, "images": 2, "probabilities": [[0, 0, 1], [0, 0, 1]]}'}},
            "differs by",
        ),
        ({"metadata": {"drift_reference": "[not json"}}, "drift_reference"),
        (
            {"metadata": {"drift_reference": '{"dataset": "d", "accuracy": 2, "confidences": [], "features": []}'}},
            "less",
        ),
        (
            {"metadata": {"drift_reference": '{"dataset": "d", "accuracy": 1, "confidences": [1], "features": []}'}},
            "one confidence",
        ),
    ],
)
def test_broken_models_are_refused(tmp_path: Path, broken: dict[str, Any], words: str) -> None:
    file = tiny_model.build(tmp_path / "m.onnx", **broken)
    with pytest.raises(InvalidModel, match=words):
        load_classifier(file, threads=1)


def test_a_model_that_answers_as_where_it_was_made_passes_its_self_test(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    answers = load_classifier(tiny_model.build(tmp_path / "m.onnx"), threads=1).probabilities(noise)
    test = {"seed": 3, "images": 2, "probabilities": (answers + np.float32(0.0009)).tolist()}
    load_classifier(tiny_model.build(tmp_path / "m.onnx", metadata={"self_test": json.dumps(test)}), threads=1)
    other_pictures = json.dumps(test | {"seed": 4})
    with pytest.raises(InvalidModel, match="self-test fails: a probability differs by"):
        load_classifier(tiny_model.build(tmp_path / "m.onnx", metadata={"self_test": other_pictures}), threads=1)


@pytest.mark.parametrize("size", [0, 100])
def test_a_damaged_file_is_refused(tmp_path: Path, size: int) -> None:
    file = tiny_model.build(tmp_path / "m.onnx")
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(InvalidModel, match="onnxruntime"):
        load_classifier(file, threads=1)


def test_writing_replaces_the_pair_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "downloaded"
    for version in ("1", "2"):
        tiny_model.install(folder, tmp_path, version)
        file, info = read_model(folder)
        assert info.version == version
        assert file.name == MODEL_FILE
    assert len(list(folder.parent.iterdir())) == 2  # the link and what it names
    assert json.loads((folder / FACTS_FILE).read_text())["version"] == "2"


def test_a_failed_write_keeps_the_former_pair(tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "downloaded"
    tiny_model.install(folder, tmp_path)
    before = read_model(folder)
    with pytest.raises(FileNotFoundError):
        write_model(folder, tmp_path / "missing.onnx", before[1])
    assert read_model(folder) == before
    assert len(list(folder.parent.iterdir())) == 2


def test_what_is_missing_or_damaged_on_disk_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "downloaded"
    with pytest.raises(NoModelOnDisk, match="holds no model"):
        read_model(folder)
    tiny_model.install(folder, tmp_path)
    with (folder / MODEL_FILE).open("ab") as opened:
        opened.write(b"x")
    with pytest.raises(NoModelOnDisk, match="damaged"):
        read_model(folder)
    (folder / FACTS_FILE).write_text("{}")
    with pytest.raises(NoModelOnDisk, match="cannot be read"):
        read_model(folder)


def test_without_a_model_the_api_is_alive_says_what_it_lacks_and_recovers(tmp_path: Path, image_root: Path) -> None:
    settings = Settings(image_root=image_root, model_source="disk", model_dir=tmp_path)
    with running(create_app(settings), ready=False) as client:
        assert client.get("/livez").is_success
        for answer in (
            client.get("/readyz"),
            client.get("/model"),
            client.post("/predict", json={"image_path": "red/red_1.jpg"}),
            client.post("/predict/batch", json={"items": [{"image_path": "red/red_1.jpg"}]}),
            client.post("/predict/upload", content=b"x"),
        ):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "2"
            assert answer.headers["content-type"] == "application/problem+json"
        wait_until(lambda: "download_model" in client.get("/readyz").json()["detail"], "the reason is told", 10)
        tiny_model.install(tmp_path / "downloaded", tmp_path, version="4")
        wait_until(lambda: client.get("/readyz").is_success, "the model is found", 10)
        assert client.post("/predict", json={"image_path": "red/red_1.jpg"}).json()["model_version"] == "4"


def test_without_registry_and_copy_nothing_answers(tmp_path: Path, image_root: Path) -> None:
    settings = Settings(
        image_root=image_root, model_dir=tmp_path, mlflow_tracking_uri=NOWHERE, fallback_after_s=0, registry_timeout_s=2
    )
    with running(create_app(settings), ready=False) as client:
        wait_until(lambda: "no earlier copy" in client.get("/readyz").json()["detail"], "both reasons are told", 20)
        assert NOWHERE in client.get("/readyz").json()["detail"]


def test_without_registry_the_last_copy_answers_and_says_so(tmp_path: Path, image_root: Path) -> None:
    settings = Settings(
        image_root=image_root, model_dir=tmp_path, mlflow_tracking_uri=NOWHERE, fallback_after_s=0, registry_timeout_s=2
    )
    tiny_model.install(ModelLoader(settings).kept.last, tmp_path, version="5")
    with running(create_app(settings)) as client:
        assert "last downloaded copy" in client.get("/model").json()["note"]
        assert NOWHERE in client.get("/readyz").json()["note"]
        assert client.post("/predict", json={"image_path": "red/red_1.jpg"}).json()["model_version"] == "5"
