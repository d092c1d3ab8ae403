"""A proxy in front of the prediction API that makes every image slower, one after the other."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


class SlowProxy(ThreadingHTTPServer):
    """Forwards to `api`; holds each batch back for `seconds` an image."""

    daemon_threads = True

    def __init__(self, api: str, seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.client = httpx.Client(base_url=api, timeout=120, trust_env=False)
        self.seconds = seconds
        self.images = 0
        self.largest = 0
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: SlowProxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._forward(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        images = len(json.loads(body)["items"])
        self.server.largest = max(self.server.largest, images)
        self.server.images += images
        self.server.closing.wait(images * self.server.seconds)
        self._forward(body)

    def _forward(self, body: bytes | None) -> None:
        headers = {"Content-Type": "application/json"}
        try:
            answer = self.server.client.request(self.command, self.path, content=body, headers=headers)
            status, content, kind = answer.status_code, answer.content, answer.headers.get("Content-Type", "")
        except httpx.HTTPError:
            status, content, kind = 502, b"{}", "application/json"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Nothing."""


@contextmanager
def slow_proxy(api: str, seconds: float) -> Iterator[SlowProxy]:
    with SlowProxy(api, seconds) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.closing.set()
            proxy.shutdown()
            proxy.client.close()


if __name__ == "__main__":
    # For trying by hand: python -m tests.e2e.slow_proxy API SECONDS, which prints its own address.
    import sys

    with slow_proxy(sys.argv[1], float(sys.argv[2])) as running:
        print(running.address, flush=True)
        running.closing.wait()
