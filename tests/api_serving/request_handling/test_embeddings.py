"""What is kept of a picture: embeddings beside predictions, and the reference that travels with the model."""

import base64
import hashlib
import json
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest

from api_serving.app import create_app
from api_serving.request_handling.predictor import _packed
from api_serving.settings import Settings
from common.pictures.embeddings import EMBEDDING_SIZE, PROJECTION, as_stored, embedding_method, unpack
from common.pictures.images import open_image, to_model_input
from tests.api_serving import tiny_model
from tests.api_serving.running import running

REFERENCE = {
    "dataset": "monday",
    "accuracy": 0.5,
    "confidences": [0.9, 0.4],
    "features": [[0.25] * 8, [0.5] * 8],
    "projection": PROJECTION,
}
ITEMS = [{"image_path": "red/red_1.jpg"}, {"image_path": "red/none.jpg"}, {"image_path": "blue/blue_1.jpg"}]
PLAIN = {"target", "class_name", "confidence", "model_version"}


def test_an_embedding_comes_with_what_it_is_of_and_what_made_it(tmp_path: Path, image_root: Path) -> None:
    metadata = {"drift_reference": json.dumps(REFERENCE)}
    tiny_model.install(tmp_path / "downloaded", tmp_path, version="7", embedding=0.1, metadata=metadata)
    settings = Settings(image_root=image_root, model_source="disk", model_dir=tmp_path)
    with running(create_app(settings)) as client:
        plain = client.post("/predict/batch", json={"items": ITEMS}).json()["results"]
        assert [set(item) for item in plain] == [PLAIN, {"type", "title", "status", "detail"}, PLAIN]
        full = client.post("/predict/batch", json={"items": ITEMS, "with_embedding": True}).json()["results"]
        assert full[1] == plain[1]
        session = onnxruntime.InferenceSession(str(tmp_path / "built.onnx"), providers=["CPUExecutionProvider"])
        for index in (0, 2):
            data = (image_root / "monday" / ITEMS[index]["image_path"]).read_bytes()
            (embedding,) = session.run(["embedding"], {"image": to_model_input(open_image(data))[None]})
            answer = full[index]
            assert np.array_equal(unpack(base64.b64decode(answer.pop("embedding"))), as_stored(embedding))
            assert answer.pop("content") == hashlib.sha256(data).hexdigest()
            assert answer.pop("embedding_method") == embedding_method(*tiny_model.ORIGIN.values())
            assert answer == plain[index]
        assert embedding.shape == (1, EMBEDDING_SIZE)
        assert set(client.post("/predict", json=ITEMS[0]).json()) == set(plain[0])
        assert client.get("/model/reference").json() == REFERENCE | {"model_version": "7"}


def test_a_model_that_does_not_say_what_its_embeddings_are_gives_none(client: httpx.Client) -> None:
    answer = client.post("/predict/batch", json={"items": ITEMS, "with_embedding": True})
    first, problem, last = answer.json()["results"]
    assert [(each["embedding"], each["embedding_method"]) for each in (first, last)] == [(None, None)] * 2
    assert "embedding" not in problem
    reference = client.get("/model/reference")
    assert reference.status_code == 404
    assert reference.headers["content-type"] == "application/problem+json"
    assert "Version 7 has no drift reference" in reference.json()["detail"]


@pytest.mark.parametrize("value", ["perhaps", None, 3])
def test_other_values_are_refused(client: httpx.Client, value: object) -> None:
    answer = client.post("/predict/batch", json={"items": ITEMS, "with_embedding": value})
    assert answer.status_code == 422
    assert "with_embedding" in answer.json()["detail"]


def test_numbers_that_float16_cannot_hold_are_no_embedding() -> None:
    assert _packed(np.full(EMBEDDING_SIZE, 65504, np.float32)) is not None
    for value in (65536, -1e9, np.inf, np.nan):
        assert _packed(np.full(EMBEDDING_SIZE, value, np.float32)) is None
