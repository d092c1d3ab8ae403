"""Every error leaves as RFC 9457 problem JSON that says what to do, whoever raised it."""

import http
import logging
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from api_serving.models.model_holder import NoModelLoaded
from api_serving.request_handling.schemas import ProblemDetails

log = logging.getLogger(__name__)

_SHOWN_ERRORS: Final = 3
"""A batch of 256 wrong items needs no 256 explanations."""

_HINTS: Final = {
    400: "The body cannot be parsed. See /docs for the expected form.",
    404: "There is nothing at this address. /docs lists what there is.",
    405: "This address does not take that method. /docs lists which it takes.",
}


class Problem(HTTPException):
    """An error for the client. `kind` is stable and machine-readable, `detail` says what is wrong and what to do."""

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.kind = kind

    def details(self) -> ProblemDetails:
        """The problem object, as sent alone or as one item of a batch."""
        return ProblemDetails(
            type=f"urn:cargo-mlops:problem:{self.kind}",
            title=http.HTTPStatus(self.status_code).phrase,
            status=self.status_code,
            detail=self.detail,
        )


def overloaded(what: str) -> Problem:
    """The 503 that asks the client to come back in a second."""
    return Problem(503, "overloaded", f"{what}. Send the request again in a second.", {"Retry-After": "1"})


def problem_response(problem: Problem) -> Response:
    """`problem` as a response of its own."""
    return JSONResponse(
        problem.details().model_dump(),
        status_code=problem.status_code,
        headers=dict(problem.headers or {}),
        media_type="application/problem+json",
    )


def _from_validation(request: Request, error: RequestValidationError) -> Problem:
    """What was sent is never echoed: it may be huge, or text that JSON cannot carry."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (media_type.startswith("application/") and media_type.endswith("json")):
        return Problem(
            415, "unsupported-media-type", "The body must be JSON. Add the header 'Content-Type: application/json'."
        )
    errors = error.errors()
    texts = [f"{'.'.join(str(part)[:40] for part in item['loc'])}: {item['msg']}" for item in errors[:_SHOWN_ERRORS]]
    if len(errors) > _SHOWN_ERRORS:
        texts.append(f"and {len(errors) - _SHOWN_ERRORS} more")
    return Problem(422, "invalid-request", f"{'; '.join(texts)}. See /docs for the expected form.")


def install(app: FastAPI) -> None:
    """Register the handlers."""

    @app.exception_handler(HTTPException)
    async def on_http_exception(_request: Request, error: HTTPException) -> Response:
        if isinstance(error, Problem):
            return problem_response(error)
        phrase = http.HTTPStatus(error.status_code).phrase
        detail = _HINTS.get(error.status_code, phrase)
        if error.detail and error.detail != phrase:
            detail = f"{error.detail.rstrip('.')}. {detail}"
        return problem_response(Problem(error.status_code, "http-error", detail, error.headers))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        return problem_response(_from_validation(request, error))

    @app.exception_handler(NoModelLoaded)
    async def on_no_model(_request: Request, error: NoModelLoaded) -> Response:
        detail = f"No model is loaded yet: {error}. Send the request again in a few seconds."
        return problem_response(Problem(503, "no-model", detail, {"Retry-After": "2"}))

    @app.exception_handler(ClientDisconnect)
    async def on_disconnect(_request: Request, _error: ClientDisconnect) -> Response:
        return problem_response(Problem(400, "incomplete-body", "The connection closed before the body was complete."))

    @app.exception_handler(Exception)
    async def on_unexpected(_request: Request, _error: Exception) -> Response:
        return problem_response(
            Problem(
                500,
                "internal-error",
                "The server failed unexpectedly. Send the request again; if that does not help, look in its log.",
                # uvicorn closes the connection after the traceback; a client that kept it would fail once more.
                {"Connection": "close"},
            )
        )


def problem_docs(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` for the problems that a route may answer with."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": http.HTTPStatus(status).phrase, "content": content} for status in statuses}
