import httpx
import pytest

from common.pictures.embeddings import FEATURES, PROJECTION
from dashboard_stream.clients.prediction_api import ApiUnavailable
from dashboard_stream.drift.reference import NoReference, Reference, ReferenceApi

GOOD = {"model_version": "3", "dataset": "monday", "accuracy": 0.9, "confidences": [0.5, 1.0]}


def ask(status: int, body: object) -> Reference:
    transport = httpx.MockTransport(
        lambda request: httpx.Response(status if request.method == "GET" else 405, json=body)
    )
    return ReferenceApi("http://api", 5, transport).get()


def test_the_reference_may_have_features() -> None:
    features = {"features": [[1.0] * FEATURES, [2.0] * FEATURES]}
    assert not ask(200, GOOD).comparable
    assert not ask(200, GOOD | features).comparable, "of an older model, which does not say what they are"
    assert not ask(200, GOOD | features | {"projection": "another"}).comparable
    assert not ask(200, GOOD | {"features": [[1], [2]], "projection": PROJECTION}).comparable
    assert ask(200, GOOD | features | {"projection": PROJECTION}).comparable


def test_a_model_may_have_none() -> None:
    with pytest.raises(NoReference, match="has no drift reference"):
        ask(404, {"title": "no reference"})


@pytest.mark.parametrize(
    "change", [{"confidences": [1.0]}, {"accuracy": 2}, {"features": [[1], [1, 2]]}, {"features": [["x"]]}]
)
def test_what_is_not_understood_is_none(change: dict[str, object]) -> None:
    """Waiting would not mend it."""
    with pytest.raises(NoReference, match="not understood"):
        ask(200, GOOD | change)


@pytest.mark.parametrize("status", [500, 503, 401])
def test_an_api_that_does_not_serve_is_asked_again(status: int) -> None:
    with pytest.raises(ApiUnavailable, match=str(status)):
        ask(status, {})


def test_an_api_that_is_gone_is_asked_again() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ApiUnavailable, match="refused"):
        ReferenceApi("http://api", 5, httpx.MockTransport(refuse)).get()
