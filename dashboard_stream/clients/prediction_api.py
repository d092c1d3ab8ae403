"""The prediction API: who is guilty when it refuses, and when it is merely away."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import httpx
import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from common.pictures.embeddings import EMBEDDING_BYTES, unpack
from common.rows import CargoRow
from common.waiting import Unavailable

CONTENT_STATUSES = frozenset({400, 413, 415, 422})
"""Refusals of a whole request that blame its content. Any other status says that the API is away, overloaded, or not
what it should be (a 404: something else answers at this address), and no row is to blame for that."""
RETRY_STATUSES = frozenset({408, 425, 429})


class ApiUnavailable(Unavailable):
    """No answer now; the same request may succeed later."""

    part = "api"


def _decode_embedding(text: bytes) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("the embedding is not base64") from error
    if len(data) != EMBEDDING_BYTES:
        raise ValueError(f"the embedding has {len(data)} bytes instead of {EMBEDDING_BYTES}")
    if not np.isfinite(unpack(data)).all():
        raise ValueError("the embedding holds numbers that are not finite")
    return data


Embedding = Annotated[bytes, AfterValidator(_decode_embedding)]
"""As the table keeps it; travels as base64."""

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Answer(BaseModel):
    """A prediction, with what the network made of the picture; None where nobody asked, or the model gives none."""

    target: int = Field(ge=-(2**31), lt=2**31)
    class_name: str
    confidence: float = Field(ge=0, le=1)
    model_version: str
    content: Sha256 | None = None
    embedding: Embedding | None = None
    embedding_method: Sha256 | None = None

    @model_validator(mode="after")
    def _says_what_the_embedding_is(self) -> Self:
        if self.embedding is not None and (self.content is None or self.embedding_method is None):
            raise ValueError("the embedding comes without its content's hash or its method")
        return self


class _Problem(BaseModel):
    title: str = "problem"
    status: int
    detail: str = ""


class _Results(BaseModel):
    results: list[Answer | _Problem]


_PROBLEM = TypeAdapter(_Problem)


@dataclass(frozen=True)
class Refusal:
    """The row cannot be predicted, now or later."""

    reason: str


@dataclass(frozen=True)
class TemporaryFailure:
    """The row could not be predicted now."""

    reason: str


class PredictionApi:
    """A client of `POST /predict/batch`. Raises `ApiUnavailable` when the request should be sent again later."""

    def __init__(
        self, url: str, timeout_s: float, with_embedding: bool, transport: httpx.BaseTransport | None = None
    ) -> None:
        # A short wait for the connection: a machine that is gone must not hold the batch for the whole timeout.
        timeout = httpx.Timeout(timeout_s, connect=5.0)
        # The address is the operator's word: no proxy of the environment in between.
        self._with_embedding = with_embedding
        self._client = httpx.Client(base_url=url, timeout=timeout, transport=transport, trust_env=False)

    def check(self) -> None:
        """Return if the API is ready to predict."""
        response = self._send("GET", "/readyz")
        if response.status_code != httpx.codes.OK:
            raise ApiUnavailable(_describe(response))

    def predict(self, rows: Sequence[CargoRow]) -> list[Answer | Refusal | TemporaryFailure]:
        """One result a row, in order.

        When the API refuses the whole request because of its content, the halves are sent apart, down to the single
        row that is guilty.
        """
        items = [{"image_path": row.image_path, "dataset": row.dataset} for row in rows]
        response = self._send("POST", "/predict/batch", {"items": items, "with_embedding": self._with_embedding})
        if response.status_code == httpx.codes.OK:
            return _results(response, len(rows))
        if response.status_code not in CONTENT_STATUSES:
            raise ApiUnavailable(_describe(response))
        if len(rows) == 1:
            return [Refusal(_describe(response))]
        half = len(rows) // 2
        return [*self.predict(rows[:half]), *self.predict(rows[half:])]

    def _send(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ApiUnavailable(f"{self._client.base_url}: {type(error).__name__} {error}".strip()) from error


def _results(response: httpx.Response, expected: int) -> list[Answer | Refusal | TemporaryFailure]:
    try:
        results = _Results.model_validate_json(response.content).results
    except ValidationError as error:
        raise ApiUnavailable(f"the API's answer is not understood: {error.errors()[0]['msg']}") from error
    if len(results) != expected:
        raise ApiUnavailable(f"the API sent {len(results)} results for {expected} rows")
    return [_classify_result(result) for result in results]


def _classify_result(result: Answer | _Problem) -> Answer | Refusal | TemporaryFailure:
    if isinstance(result, Answer):
        return result
    reason = f"{result.title}: {result.detail}"
    blames_row = 400 <= result.status < 500 and result.status not in RETRY_STATUSES
    return Refusal(reason) if blames_row else TemporaryFailure(f"{result.status} {reason}")


def _describe(response: httpx.Response) -> str:
    """A problem's title and detail, or the status where the answer is no problem object."""
    try:
        problem = _PROBLEM.validate_json(response.content)
    except ValidationError:
        return f"{response.request.url} answers {response.status_code}"
    return f"{problem.title}: {problem.detail}"
