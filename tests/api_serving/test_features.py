"""What drift is measured on: features beside predictions, and the reference that travels with the model."""

import json
from pathlib import Path

import httpx
import pytest

from api_serving.app import create_app
from api_serving.settings import Settings
from tests.api_serving import tiny_model
from tests.api_serving.running import running

REFERENCE = {"dataset": "monday", "accuracy": 0.5, "confidences": [0.9, 0.4], "features": [[0.25] * 32, [0.5] * 32]}
ITEMS = [{"image_path": "red/red_1.jpg"}, {"image_path": "red/none.jpg"}, {"image_path": "blue/blue_1.jpg"}]


def test_features_are_given_when_asked_for(tmp_path: Path, image_root: Path) -> None:
    metadata = {"drift_reference": json.dumps(REFERENCE)}
    tiny_model.install(tmp_path / "downloaded", tmp_path, version="7", features=1.5, metadata=metadata)
    settings = Settings(image_root=image_root, model_source="disk", model_dir=tmp_path)
    with running(create_app(settings)) as client:
        plain = client.post("/predict/batch", json={"items": ITEMS}).json()["results"]
        assert [set(item) for item in plain] == [
            {"target", "class_name", "confidence", "model_version"},
            {"type", "title", "status", "detail"},
            {"target", "class_name", "confidence", "model_version"},
        ]
        full = client.post("/predict/batch", json={"items": ITEMS, "with_features": True}).json()["results"]
        assert full == [plain[0] | {"features": [1.5] * 32}, plain[1], plain[2] | {"features": [1.5] * 32}]
        assert set(client.post("/predict", json=ITEMS[0]).json()) == set(plain[0])
        assert client.get("/model/reference").json() == REFERENCE | {"model_version": "7"}


def test_a_model_without_features_says_null(client: httpx.Client) -> None:
    answer = client.post("/predict/batch", json={"items": ITEMS, "with_features": True})
    first, problem, last = answer.json()["results"]
    assert (first["features"], last["features"]) == (None, None)
    assert "features" not in problem
    reference = client.get("/model/reference")
    assert reference.status_code == 404
    assert reference.headers["content-type"] == "application/problem+json"
    assert "Version 7 carries no reference" in reference.json()["detail"]


@pytest.mark.parametrize("value", ["perhaps", None, 3])
def test_other_values_are_refused(client: httpx.Client, value: object) -> None:
    answer = client.post("/predict/batch", json={"items": ITEMS, "with_features": value})
    assert answer.status_code == 422
    assert "with_features" in answer.json()["detail"]
