"""Reads an uploaded image, and limits what any request may send."""

from typing import Any, Final

import anyio
from starlette.datastructures import Headers, UploadFile
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_serving.request_handling.problems import Problem, problem_response
from common.pictures.images import FORMATS, MAX_BYTES

UPLOAD_PATH: Final = "/predict/upload"
FIELDS: Final = 8
"""What a form may hold beside its file: a caption, a token."""

FIELD_LIMIT: Final = 64 * 1024
"""Bytes of one of them."""

UPLOAD_LIMIT: Final = MAX_BYTES + FIELDS * FIELD_LIMIT + 64 * 1024
"""The largest image, all fields, and what multipart puts around them."""

JSON_LIMIT: Final = 1024 * 1024
"""256 paths of 255 characters, each escaped, take less."""

_LENGTH_DIGITS: Final = 20
"""Python refuses to read numbers of thousands of digits."""

_RAW_TYPES: Final = ("application/octet-stream", *(f"image/{name.lower()}" for name in FORMATS))
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_MULTIPART: Final = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary", "description": "The image"}},
    }
}
UPLOAD_DOCS: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": _MULTIPART, **dict.fromkeys(_RAW_TYPES, _BINARY)},
    }
}


async def read_upload(request: Request, timeout_s: float) -> bytes:
    """The image's bytes from a raw body or from the form's field `file`. Raises `Problem`."""
    media_type = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    try:
        with anyio.fail_after(timeout_s):
            if media_type == "multipart/form-data":
                data = await _read_form(request)
            elif media_type == "application/octet-stream" or media_type.startswith("image/"):
                data = await request.body()
            else:
                raise Problem(
                    415,
                    "unsupported-media-type",
                    f"The body is declared as {media_type[:80]!r}. Send the image with 'Content-Type: image/jpeg' "
                    "(or another image type), or a multipart/form-data form with the field `file`.",
                )
    except TimeoutError:
        raise Problem(
            408,
            "upload-too-slow",
            f"The body was not complete after {timeout_s:g} s. Send it faster, or a smaller file.",
        ) from None
    if not data:
        raise Problem(422, "empty-upload", "The upload holds no bytes. Send an image.")
    return data


async def _read_form(request: Request) -> bytes:
    try:
        async with request.form(max_files=1, max_fields=FIELDS, max_part_size=FIELD_LIMIT) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise Problem(
                    422, "no-file", "The form has no file in the field `file`. Send it as `-F file=@image.jpg`."
                )
            return await file.read()
    except (LookupError, ValueError) as error:  # the form's headers may name a charset that is none
        raise Problem(
            400, "broken-form", "The multipart form cannot be parsed. Send it as `-F file=@image.jpg`."
        ) from error


class BodyLimit:
    """Refuses bodies above the limit: at once when their length is declared, else when they pass it.

    Not the framework's `max_body_size`: it replaces the problem by plain text when the length is declared.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = UPLOAD_LIMIT if scope["path"] == UPLOAD_PATH else JSON_LIMIT
        too_large = Problem(
            413, "body-too-large", f"The body has more than {limit} bytes. Send a smaller file or fewer items."
        )
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and (len(declared) > _LENGTH_DIGITS or int(declared) > limit):
            await problem_response(too_large)(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise too_large
            return message

        await self._app(scope, receive_limited, send)
