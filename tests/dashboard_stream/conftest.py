"""Messages as Debezium writes them, and an API that answers from a script."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dashboard_stream.clients.prediction_api import PredictionApi
from dashboard_stream.subscriber.messages import SOURCE_LSN_HEADER, SOURCE_TIME_HEADER, Message, Partition

MakeMessage = Callable[..., Message]
Answer = Callable[[list[dict[str, str]]], httpx.Response]
MakeApi = Callable[[Answer], PredictionApi]


def prediction(item: dict[str, str]) -> dict[str, Any]:
    return {"target": 4, "class_name": "wood", "confidence": 0.5, "model_version": "3"}


def position(committed_us: int, lsn: int = 0) -> list[tuple[str, bytes]]:
    """As the source connector says when a change was committed."""
    return [(SOURCE_TIME_HEADER, str(committed_us).encode()), (SOURCE_LSN_HEADER, str(lsn).encode())]


@pytest.fixture
def message() -> MakeMessage:
    def make(
        row_id: int, offset: int = 0, partition: int = 0, committed_us: int | None = None, **changes: object
    ) -> Message:
        row = {"timestamp": "2026-11-21T04:35:23.123456Z", "dataset": "monday", "image_path": f"wood/{row_id}.jpg"}
        payload = {"id": row_id, "target": 4, **row, **changes}
        value = json.dumps({"schema": {}, "payload": payload}).encode()
        headers = position(committed_us) if committed_us is not None else ()
        return Message(Partition("rows", partition), offset, str(row_id).encode(), value, headers)

    return make


@pytest.fixture
def make_api() -> MakeApi:
    def make(answer: Answer) -> PredictionApi:
        def handle(request: httpx.Request) -> httpx.Response:
            return answer(json.loads(request.content)["items"])

        return PredictionApi("http://api", 5.0, True, httpx.MockTransport(handle))

    return make
