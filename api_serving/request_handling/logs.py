"""The server's log: uvicorn's lines in the one format, no line for each probe, and short words for a failed start."""

import logging
import sys
from typing import Final

from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.cli import describe_invalid_settings
from common.logs import configure_logging

_PROBES: Final = ("/livez", "/readyz", "/metrics")


def configure() -> None:
    """Call when the server starts."""
    configure_logging()
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").addFilter(_no_probe)
    # What matters of it reaches the model store as an exception.
    logging.getLogger("mlflow").setLevel(logging.ERROR)


def _no_probe(record: logging.LogRecord) -> bool:
    """The arguments of uvicorn's lines are client, method, path, HTTP version, status."""
    return not (isinstance(record.args, tuple) and len(record.args) > 2 and record.args[2] in _PROBES)


class StartupErrors:
    """Wrong settings end the start with one line instead of a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""

        async def send_shortened(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, ValidationError):
                message = {**message, "message": describe_invalid_settings(error)}
            await send(message)

        await self._app(scope, receive, send_shortened if scope["type"] == "lifespan" else send)
