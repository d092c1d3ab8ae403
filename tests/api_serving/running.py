"""A real uvicorn server in a thread."""

import contextlib
import threading
from collections.abc import Iterator

import httpx
import uvicorn
from fastapi import FastAPI

from common.waiting import wait_until


@contextlib.contextmanager
def running(app: FastAPI, ready: bool = True) -> Iterator[httpx.Client]:
    """A client of a server that listens on a port of the system's choice."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "the server listens", 20, 0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            if ready:
                wait_until(lambda: client.get("/readyz").is_success, "a model is loaded", 20, 0.02)
            yield client
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
