"""What a model brings to be compared with, as the API tells it."""

from typing import Self

import httpx
from pydantic import BaseModel, Field, FiniteFloat, ValidationError, model_validator

from common.pictures.embeddings import FEATURES, PROJECTION
from dashboard_stream.clients.prediction_api import ApiUnavailable


class NoReference(Exception):
    """The version that serves has nothing to compare with; the text says why."""


class Reference(BaseModel):
    """The model's own answers on held-out images of its newest training day. Features may be left out.

    `projection` names what made them of embeddings: another one's cannot be compared with what is projected here.
    """

    model_version: str
    dataset: str
    accuracy: float = Field(ge=0, le=1)
    confidences: list[float] = Field(min_length=2)
    features: list[list[FiniteFloat]] = []
    projection: str | None = None

    @model_validator(mode="after")
    def _features_are_a_matrix(self) -> Self:
        if len({len(row) for row in self.features}) > 1:
            raise ValueError("the features differ in length")
        return self

    @property
    def comparable(self) -> bool:
        """Whether its features can be compared with those of predictions."""
        return self.projection == PROJECTION and bool(self.features) and len(self.features[0]) == FEATURES


class ReferenceApi:
    """A client of `GET /model/reference`."""

    def __init__(self, url: str, timeout_s: float, transport: httpx.BaseTransport | None = None) -> None:
        timeout = httpx.Timeout(timeout_s, connect=5.0)
        # The address is the operator's word: no proxy of the environment in between.
        self._client = httpx.Client(base_url=url, timeout=timeout, transport=transport, trust_env=False)

    def get(self) -> Reference:
        """That of the version which serves now. Raises `NoReference`, or `ApiUnavailable` when to be asked again."""
        try:
            response = self._client.get("/model/reference")
        except httpx.HTTPError as error:
            raise ApiUnavailable(f"{self._client.base_url}: {type(error).__name__} {error}".strip()) from error
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NoReference("the model that serves has no drift reference; one that is trained again has one")
        if response.status_code != httpx.codes.OK:
            raise ApiUnavailable(f"{response.request.url} answers {response.status_code}")
        try:
            return Reference.model_validate_json(response.content)
        except ValidationError as error:
            raise NoReference(f"the model's reference is not understood: {error.errors()[0]['msg']}") from error
