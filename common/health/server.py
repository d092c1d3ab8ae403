"""`/livez`, `/readyz` and `/metrics` over HTTP, whoever else holds connections to the port."""

import contextlib
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from common.cli import UserError
from common.health.state import Health, Probe

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
"""Each has a thread."""
SILENCE_S = 5.0
"""A client that neither sends nor takes anything for so long is hung up on."""
ROOM_WITHIN_S = 1.0


class _Handler(WSGIRequestHandler):
    server: "HealthServer"
    timeout = SILENCE_S

    def parse_request(self) -> bool:
        """Note that the request is there."""
        complete = super().parse_request()
        self.server.has_asked(self.connection)
        return complete

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Probes every second are not worth a log line each."""


class HealthServer(ThreadingWSGIServer):
    """A thread for each connection, and at most `MOST_CONNECTIONS`: the oldest that has asked nothing makes room.

    While all of them are being answered, a further one is hung up on after `ROOM_WITHIN_S`.
    """

    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._changed = threading.Condition()
        self._asked: dict[socket.socket, bool] = {}
        """Whether a connection's request has come, or nobody waits for it any more; oldest first."""
        super().__init__(*args)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection; makes some where it can."""
        with self._changed:
            if len(self._asked) >= MOST_CONNECTIONS:
                self._hang_up_on_the_oldest()
            room = self._changed.wait_for(lambda: len(self._asked) < MOST_CONNECTIONS, ROOM_WITHIN_S)
            if room:
                self._asked[request] = False
            return room

    def has_asked(self, connection: socket.socket) -> None:
        """Say that the request has come: this connection is answered before it makes room."""
        with self._changed:
            self._asked[connection] = True

    def shutdown_request(self, request: Any) -> None:
        """Called at the end of each connection, however it ends."""
        super().shutdown_request(request)
        with self._changed:
            self._asked.pop(request, None)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called while the error is handled; a client that is silent or gone is not worth a line."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a connection to the health port failed")

    def _hang_up_on_the_oldest(self) -> None:
        silent = next((connection for connection, asked in self._asked.items() if not asked), None)
        if silent is not None:
            self._asked[silent] = True
            with contextlib.suppress(OSError):  # it may have ended this very moment
                silent.shutdown(socket.SHUT_RDWR)


def serve_health(health: Health, host: str, port: int, routes: Mapping[str, Probe] | None = None) -> HealthServer:
    """Serve `/livez`, `/readyz`, `/metrics` and `routes` from daemon threads; `server_port` tells the real port.

    A route may be called by several threads at once.
    """
    metrics = make_wsgi_app()
    probes: dict[str, Probe] = {"/livez": health.live, "/readyz": health.ready, **(routes or {})}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            body: Iterable[bytes] = metrics(environ, start_response)
            return body
        if path not in probes:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [f"try {', '.join(probes)} or /metrics\n".encode()]
        good, detail = probes[path]()
        start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
        # Load balancers ask with HEAD, whose answer has no body.
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        return [json.dumps({"status": "ok" if good else "unavailable", **detail}).encode() + b"\n"]

    try:
        server = make_server(host, port, app, HealthServer, _Handler)
    except OSError as error:
        raise UserError(
            f"the health port {host}:{port} cannot be opened ({error.strerror}). Stop what holds it, or set another."
        ) from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
