"""Swaps while requests keep coming: none fails, none is answered by two versions, and nothing is left in memory."""

import base64
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx
import pytest

from api_serving.app import create_app
from api_serving.settings import Settings
from common.pictures.embeddings import unpack
from common.waiting import wait_until
from tests.api_serving.fake_registry import Api, FakeRegistry
from tests.api_serving.running import running

pytestmark = pytest.mark.services

SWAPS = 10
CLIENTS = 3
BATCH = {"items": [{"image_path": f"{colour}/{colour}_1.jpg"} for colour in ("red", "green", "blue")] * 4}


def ask_until(stop: threading.Event, client: httpx.Client) -> list[int]:
    """The versions that answered, in order. Each answer must be one version's own: its embeddings are its number."""
    versions = []
    while not stop.is_set():
        answer = client.post("/predict/batch", json=BATCH | {"with_embedding": True})
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        [version] = {item["model_version"] for item in results}
        assert [item["class_name"] for item in results] == ["red", "green", "blue"] * 4
        embeddings = unpack(b"".join(base64.b64decode(item["embedding"]) for item in results))
        assert set(embeddings.ravel().tolist()) == {float(version)}
        versions.append(int(version))
    return versions


def test_requests_do_not_notice_swaps(registry: FakeRegistry, following: Settings) -> None:
    registry.add(1)
    app = create_app(following)
    stop = threading.Event()
    with running(app) as client, ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask_until, stop, client) for _ in range(CLIENTS)]
        try:
            former = []
            for version in range(2, SWAPS + 2):
                former.append(weakref.ref(app.state.services.models.current.classifier))
                registry.add(version)
                Api(client).wait_for(version)
        finally:
            stop.set()
        seen = [call.result(30) for call in asking]
        assert Api(client).swaps("swapped") == SWAPS

        def released() -> bool:
            gc.collect()
            return not [model for model in former if model() is not None]

        wait_until(released, "the models that were swapped out are released", 10, 0.1)
    for versions in seen:
        assert len(set(versions)) > SWAPS / 2
        assert all(earlier <= later for earlier, later in pairwise(versions))
