import json
from collections.abc import Callable

import httpx
import pytest


def test_predict_gives_class_confidence_and_version(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"image_path": "green/green_1.jpg"})
    assert answer.status_code == 200
    body = answer.json()
    assert 0.99 < body.pop("confidence") <= 1
    assert body == {"target": 1, "class_name": "green", "model_version": "7"}


def test_batch_keeps_the_order_and_puts_problems_in_place(client: httpx.Client) -> None:
    paths = ["red/red_1.jpg", "red/none.jpg", "blue/blue_1.jpg", "../../etc/passwd", "red/damaged.jpg"] * 13
    answer = client.post("/predict/batch", json={"items": [{"image_path": path} for path in paths]})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [item.get("class_name", item.get("status")) for item in results] == ["red", 404, "blue", 422, 422] * 13
    assert all({"type", "title", "status", "detail"} == set(item) for item in results if "status" in item)


@pytest.mark.parametrize("count", [1, 256])
def test_batch_takes_up_to_256(client: httpx.Client, count: int) -> None:
    items = [{"image_path": "red/red_1.jpg", "dataset": "monday"}] * count
    answer = client.post("/predict/batch", json={"items": items})
    assert [item["target"] for item in answer.json()["results"]] == [2] * count


@pytest.mark.parametrize("count", [0, 257])
def test_batch_refuses_other_counts(client: httpx.Client, count: int) -> None:
    answer = client.post("/predict/batch", json={"items": [{"image_path": "red/red_1.jpg"}] * count})
    assert answer.status_code == 422
    assert "items" in answer.json()["detail"]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_upload_of_a_raw_body(client: httpx.Client, encoded: Callable[..., bytes], form: str) -> None:
    for media_type in (f"image/{form.lower()}", "application/octet-stream"):
        answer = client.post("/predict/upload", content=encoded("blue", form), headers={"Content-Type": media_type})
        assert answer.json()["class_name"] == "blue"


def test_upload_of_a_form(client: httpx.Client, encoded: Callable[..., bytes]) -> None:
    caption = "what people write beside a picture " * 60
    for fields in ({}, {"caption": caption, "token": "t" * 2000}):
        files = {"file": ("x.jpg", encoded("red"), "image/jpeg")}
        assert client.post("/predict/upload", files=files, data=fields).json()["class_name"] == "red"


def test_model_says_where_it_comes_from(client: httpx.Client) -> None:
    body = client.get("/model").json()
    assert (body["version"], body["run_id"], body["note"]) == ("7", "run-1", None)
    assert body["classes"] == ["blue", "green", "red"]
    assert body["metrics"] == {"test_accuracy": 0.5}


def test_probes(client: httpx.Client) -> None:
    assert client.get("/livez").json()["status"] == "ok"
    assert client.get("/readyz").json() == {"status": "ok", "model_version": "7", "note": None}


def test_docs_need_no_other_host_and_show_a_working_example(client: httpx.Client) -> None:
    page = client.get("/docs").text
    assert "https://" not in page
    for address in ("swagger-ui-bundle.js", "swagger-ui.css"):
        [link] = [part for part in page.split('"') if part.endswith(address)]
        assert client.get(link).is_success
    schema = client.get("/openapi.json").json()
    example = schema["components"]["schemas"]["ImageReference"]["examples"][0]
    assert example["image_path"] == "background/background_13.jpg"
    upload = schema["paths"]["/predict/upload"]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "image/jpeg", "application/octet-stream"} <= set(upload)
    problem = schema["paths"]["/predict"]["post"]["responses"]["422"]["content"]
    assert list(problem) == ["application/problem+json"]
    assert "HTTPValidationError" not in json.dumps(schema)
