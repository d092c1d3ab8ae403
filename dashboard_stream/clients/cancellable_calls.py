"""Calls that may take long, and a worker that must stop soon all the same."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from common.waiting import Stopped

T = TypeVar("T")


def unless_stopped(work: Callable[[], T], stop: threading.Event, beat: Callable[[], None]) -> T:
    """What `work` returns or raises. `Stopped` when `stop` is set meanwhile: then the call is left behind.

    It runs in a daemon thread, which ends with the process, so call this only where the process ends after `Stopped`.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="call", daemon=True).start()
    while not wait({future}, timeout=0.2).done:
        beat()
        if stop.is_set():
            raise Stopped
    return future.result()
