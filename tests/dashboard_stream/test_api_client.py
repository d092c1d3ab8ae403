import base64
import json
from collections.abc import Callable
from itertools import count

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rows import CargoRow, parse_message
from dashboard_stream.clients.prediction_api import Answer, ApiUnavailable, PredictionApi, Refusal, TemporaryFailure
from tests.dashboard_stream.conftest import MakeApi, MakeMessage, prediction


def problem(status: int, title: str = "Title", detail: str = "detail") -> dict[str, object]:
    return {"type": "urn:x", "title": title, "status": status, "detail": detail}


@pytest.fixture
def rows(message: MakeMessage) -> list[CargoRow]:
    return [parse_message(message(number).value) for number in range(10)]


def test_answers_and_refusals_in_order(make_api: MakeApi, rows: list[CargoRow]) -> None:
    def answer(items: list[dict[str, str]]) -> httpx.Response:
        results = [
            problem(404, "Not Found", i["image_path"]) if "/3." in i["image_path"] else prediction(i) for i in items
        ]
        return httpx.Response(200, json={"results": results})

    results = make_api(answer).predict(rows)
    assert results[3] == Refusal("Not Found: wood/3.jpg")
    assert all(isinstance(result, Answer) and result.target == 4 for result in results[:3] + results[4:])


EMBEDDING = bytes(range(64)) * 40
KEPT = {"content": "0" * 64, "embedding": base64.b64encode(EMBEDDING).decode(), "embedding_method": "1" * 64}


@pytest.mark.parametrize("wanted", [True, False])
def test_embeddings_are_asked_for_and_may_be_left_out(rows: list[CargoRow], wanted: bool) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert body["with_embedding"] is wanted
        plain, null, full = map(prediction, body["items"])
        return httpx.Response(200, json={"results": [plain, null | dict.fromkeys(KEPT), full | KEPT]})

    results = PredictionApi("http://api", 5, wanted, httpx.MockTransport(handle)).predict(rows[:3])
    answers = [result for result in results if isinstance(result, Answer)]
    assert [answer.embedding for answer in answers] == [None, None, EMBEDDING]
    assert [answer.content for answer in answers] == [None, None, "0" * 64]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_an_item_may_have_to_come_later(make_api: MakeApi, rows: list[CargoRow], status: int) -> None:
    api = make_api(lambda items: httpx.Response(200, json={"results": [problem(status) for _ in items]}))
    assert {type(result) for result in api.predict(rows)} == {TemporaryFailure}


@given(guilty=st.sets(st.integers(0, 40)), size=st.integers(1, 41), status=st.sampled_from([400, 413, 415, 422]))
def test_only_the_guilty_rows_are_refused(guilty: set[int], size: int, status: int) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        items = json.loads(request.content)["items"]
        if any(int(item["image_path"]) in guilty for item in items):
            return httpx.Response(status, json=problem(status))
        return httpx.Response(200, json={"results": [prediction(item) for item in items]})

    rows = [
        CargoRow.model_validate({"id": n, "timestamp": "2026-01-01T00:00:00Z", "dataset": "d", "image_path": str(n)})
        for n in range(size)
    ]
    results = PredictionApi("http://api", 5, True, httpx.MockTransport(handle)).predict(rows)
    assert [isinstance(result, Refusal) for result in results] == [n in guilty for n in range(size)]


def raise_error(error: Exception) -> Callable[[list[dict[str, str]]], httpx.Response]:
    def answer(items: list[dict[str, str]]) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        *(lambda items, s=s: httpx.Response(s, json=problem(s)) for s in (301, 401, 403, 404, 405, 408, 429, 500, 503)),
        lambda items: httpx.Response(502, text="<html>"),
        lambda items: httpx.Response(200, text="<html>"),
        lambda items: httpx.Response(200, json={"results": []}),
        *(
            lambda items, change=change: httpx.Response(200, json={"results": [prediction(i) | change for i in items]})
            for change in (
                KEPT | {"embedding": base64.b64encode(EMBEDDING[2:]).decode()},
                KEPT | {"embedding": "not base64"},
                KEPT | {"embedding": "!" + str(KEPT["embedding"])},
                KEPT | {"embedding": base64.b64encode(b"\x00\x7c" * 1280).decode()},
                KEPT | {"embedding_method": None},
                KEPT | {"embedding_method": "1" * 63 + "\x00"},
                KEPT | {"content": "F" * 64},
            )
        ),
        lambda items: httpx.Response(200, json={"results": [{"target": "many"}] * len(items)}),
        lambda items: httpx.Response(200, json={"results": [prediction(i) | {"target": 2**40} for i in items]}),
        raise_error(httpx.ConnectError("refused")),
        raise_error(httpx.ReadTimeout("slow")),
        raise_error(httpx.RemoteProtocolError("cut")),
    ],
)
def test_no_row_is_blamed_when_the_api_is_away(
    make_api: MakeApi, rows: list[CargoRow], answer: Callable[[list[dict[str, str]]], httpx.Response]
) -> None:
    with pytest.raises(ApiUnavailable):
        make_api(answer).predict(rows)


def test_check_asks_for_readiness() -> None:
    statuses = (503, 200)
    calls = count()
    transport = httpx.MockTransport(lambda request: httpx.Response(statuses[next(calls)], json=problem(503)))
    api = PredictionApi("http://api", 5, True, transport)
    with pytest.raises(ApiUnavailable, match="Title: detail"):
        api.check()
    api.check()
