"""Many requests at once: the event loop stays free, the queue stays bounded, the numbers are counted."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from api_serving.app import create_app
from api_serving.models.classifier import Classifier
from api_serving.models.model_loader import LoadedModel
from api_serving.request_handling.metrics import Metrics
from api_serving.request_handling.predictor import Predictor
from api_serving.request_handling.problems import Problem
from api_serving.request_handling.schemas import Prediction
from api_serving.settings import Settings
from common.waiting import wait_until
from tests.api_serving import tiny_model
from tests.api_serving.running import running


@dataclass
class SlowSession:
    """Answers like onnxruntime when it is let; notes how many chunks it held at once, and their sizes."""

    go: threading.Event
    lock: threading.Lock = field(default_factory=threading.Lock)
    inside: int = 0
    most: int = 0
    sizes: list[int] = field(default_factory=list)

    def run(self, _names: list[str], inputs: dict[str, npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.sizes.append(len(inputs["image"]))
        assert self.go.wait(20)
        with self.lock:
            self.inside -= 1
        blueness = inputs["image"].mean(axis=(1, 2))[:, 2:3] / 255
        return [np.hstack([blueness, 1 - blueness]).astype(np.float32)]


@pytest.fixture
def slow(tmp_path: Path) -> tuple[SlowSession, LoadedModel]:
    session = SlowSession(threading.Event())
    info = tiny_model.info_for(tiny_model.build(tmp_path / "m.onnx"))
    return session, LoadedModel(Classifier(session, ("blue", "other")), info)


def test_chunks_run_on_workers_and_results_keep_their_order(
    slow: tuple[SlowSession, LoadedModel], encoded: Callable[..., bytes]
) -> None:
    session, model = slow
    session.go.set()
    colours = ["blue", "red", "red", "green", "blue", "blue", "red"] * 5

    async def predict() -> list[Prediction | Problem]:
        predictor = Predictor(workers=3, chunk_size=4, metrics=Metrics())
        return await predictor.predict(model, [lambda c=c: encoded(c) for c in colours])  # type: ignore[misc]

    results = asyncio.run(predict())
    expected = ["blue" if colour == "blue" else "other" for colour in colours]
    assert [getattr(result, "class_name", None) for result in results] == expected
    assert sum(session.sizes) == len(colours)
    assert max(session.sizes) == 4
    assert session.most <= 3


def test_a_single_image_overtakes_the_rest_of_a_batch(
    slow: tuple[SlowSession, LoadedModel], encoded: Callable[..., bytes]
) -> None:
    session, model = slow

    async def predict() -> int:
        predictor = Predictor(workers=1, chunk_size=1, metrics=Metrics())
        batch = asyncio.create_task(predictor.predict(model, [lambda: encoded("red")] * 50))
        while session.inside == 0:
            await asyncio.sleep(0.01)  # the loop is free although inference stands still
        single = asyncio.create_task(predictor.predict(model, [lambda: encoded("blue")]))
        await asyncio.sleep(0)
        session.go.set()
        await single
        served_before = len(session.sizes)
        await batch
        return served_before

    assert asyncio.run(predict()) < 10


def test_health_answers_and_the_queue_is_bounded_while_inference_stands_still(
    settings: Settings, slow: tuple[SlowSession, LoadedModel]
) -> None:
    session, model = slow
    narrow = settings.model_copy(update={"max_pending": 3, "workers": 1})
    body = {"image_path": "blue/blue_1.jpg"}
    app = create_app(narrow)
    with running(app) as client, ThreadPoolExecutor(3) as pool:
        app.state.services.models.current = model
        waiting = [pool.submit(client.post, "/predict", json=body) for _ in range(3)]

        wait_until(lambda: app.state.services.requests.free == 0, "all places are taken", 10, 0.01)
        answer = client.post("/predict", json=body)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["content-type"] == "application/problem+json"
        start = time.monotonic()
        assert client.get("/livez").is_success
        assert client.head("/livez").is_success
        assert time.monotonic() - start < 2
        session.go.set()
        assert [call.result().json()["class_name"] for call in waiting] == ["blue"] * 3
        assert client.post("/predict", json=body).is_success


def test_uploads_have_places_of_their_own(settings: Settings, slow: tuple[SlowSession, LoadedModel]) -> None:
    app = create_app(settings.model_copy(update={"max_uploads": 1, "upload_timeout_s": 0.3}))

    def never_ending() -> Iterator[bytes]:
        yield b"x"
        wait_until(lambda: app.state.services.uploads.free == 0, "the upload is being read", 10, 0.01)
        refused.append(client.post("/predict/upload", content=b"y").status_code)
        wait_until(lambda: app.state.services.uploads.free == 1, "the slow upload is given up", 10, 0.01)
        yield b"z"

    refused: list[int] = []
    with running(app) as client:
        answer = client.post("/predict/upload", content=never_ending())
        assert refused == [503]
        assert answer.status_code == 408
        assert answer.headers["content-type"] == "application/problem+json"


def test_metrics_count_by_route_class_and_version_without_odd_labels(
    settings: Settings, encoded: Callable[..., bytes]
) -> None:
    with running(create_app(settings)) as client:
        client.post("/predict", json={"image_path": "red/red_1.jpg"})
        client.post("/predict/batch", json={"items": [{"image_path": "red/red_1.jpg"}, {"image_path": "red/no.jpg"}]})
        client.post("/predict/upload", content=encoded("blue"))
        for number in range(3):
            client.get(f"/odd/{number}")
            client.request(f"ODD{number}", "/predict")
        client.post("/predict", content=b" " * 2_000_000)
        lines = client.get("/metrics").text.splitlines()
    assert 'api_images_predicted_total{class_name="red",model_version="7"} 2.0' in lines
    assert 'api_images_predicted_total{class_name="blue",model_version="7"} 1.0' in lines
    assert 'api_images_refused_total{status="404"} 1.0' in lines
    assert 'api_model_info{name="sk_model",run_id="run-1",version="7"} 1.0' in lines
    assert 'api_request_seconds_count{route="/predict",status="200"} 1.0' in lines
    assert 'api_request_seconds_count{route="none",status="404"} 3.0' in lines
    assert 'api_request_seconds_count{route="/predict",status="405"} 3.0' in lines
    assert 'api_request_seconds_count{route="none",status="413"} 1.0' in lines
    assert not [line for line in lines if "odd" in line.lower()]
    assert any(line.startswith("api_inference_seconds_count") for line in lines)


def test_an_unexpected_failure_is_a_problem_without_internals(
    settings: Settings, slow: tuple[SlowSession, LoadedModel]
) -> None:
    class Broken:
        def run(self, *_: object) -> None:
            raise ValueError("secret detail")

    app = create_app(settings)
    with running(app) as client:
        app.state.services.models.current = LoadedModel(Classifier(Broken(), ("a",)), slow[1].info)
        answer = client.post("/predict", json={"image_path": "red/red_1.jpg"})
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "secret" not in answer.text
        assert 'api_request_seconds_count{route="/predict",status="500"} 1.0' in client.get("/metrics").text
