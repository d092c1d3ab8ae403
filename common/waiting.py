"""Bounded waiting: for a service that is not up yet, and for a condition that must come true."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from common.cli import UserError

T = TypeVar("T")

log = logging.getLogger(__name__)

STARTUP_TIMEOUT_S = 180.0
"""How long a service waits for another one at start: longer than a cold start of the whole stack on two cores."""


def retrying(what: str, on: type[Exception] | tuple[type[Exception], ...], timeout_s: float) -> Retrying:
    """Retry a call while it raises `on`, pausing 0.2 to 2 s; the last error is raised after `timeout_s`."""

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number in (1, 5) or state.attempt_number % 20 == 0:
            log.info("waiting for %s: %s", what, str(error).strip().splitlines()[:1])

    return Retrying(
        retry=retry_if_exception_type(on),
        wait=wait_exponential_jitter(multiplier=0.2, max=2, jitter=0.1),
        stop=stop_after_delay(timeout_s),
        before_sleep=say,
        reraise=True,
    )


def wait_until(check: Callable[[], T | None], what: str, timeout_s: float, interval_s: float = 0.2) -> T:
    """Poll `check` until it returns something true, and return that; after `timeout_s` a `UserError` names `what`."""
    deadline = time.monotonic() + timeout_s
    while True:
        if result := check():
            return result
        if time.monotonic() >= deadline:
            raise UserError(f"{what}: not so after {timeout_s:g} s")
        time.sleep(interval_s)


class Backoff:
    """Pauses between attempts: they double from `first_s` to `longest_s`, and end early when `stop` is set."""

    def __init__(self, stop: threading.Event, first_s: float = 0.2, longest_s: float = 5.0) -> None:
        self._stop, self._first_s, self._longest_s = stop, first_s, longest_s
        self._next_s = first_s

    def pause(self) -> None:
        """Wait until the next attempt is due."""
        self._stop.wait(self._next_s)
        self._next_s = min(2 * self._next_s, self._longest_s)

    def reset(self) -> None:
        """Call after a success: the next pause is short again."""
        self._next_s = self._first_s
