"""Waiting for a service or a condition, bounded by a time or by a stop, and the growing pauses between attempts."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar, cast

import tenacity

from common.cli import UserError
from common.health.state import Health

T = TypeVar("T")

log = logging.getLogger(__name__)

STARTUP_TIMEOUT_S = 180.0
"""How long a service waits for another one at start: longer than a cold start of the whole stack on two cores."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
JITTER_S = 0.1
"""Added at random to each pause, so that those who lost the same service do not all come back at once."""


class Unavailable(Exception):
    """A part that work needs cannot serve now; the same work may succeed later."""

    part: str
    """What `/readyz` calls it."""


class Stopped(Exception):
    """The worker was told to stop; what it has in hand stays undone."""


class RetrySchedule:
    """Pauses after failures in a row: they double from `first_s` to `longest_s`."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._pauses = tenacity.wait_exponential(multiplier=first_s, max=longest_s)
        self.reset()

    def failed(self) -> float:
        """Count a failure; return the seconds from it to the next attempt."""
        pause_s = self._pauses(self._attempts)
        self._attempts.prepare_for_next_attempt()
        return pause_s

    def reset(self) -> None:
        """Call after a success: the next pause is short again."""
        self._attempts = tenacity.RetryCallState(tenacity.Retrying(), fn=None, args=(), kwargs={})


def retry_for(timeout_s: float, what: str, on: type[Exception] | tuple[type[Exception], ...]) -> tenacity.Retrying:
    """Retry a call while it raises `on`, pausing 0.2 to 2 s; the last error is raised after `timeout_s`."""

    def say(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number in (1, 5) or state.attempt_number % 20 == 0:
            log.info("waiting for %s: %s", what, str(error).strip().splitlines()[:1])

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(on),
        wait=_jittered(2.0),
        stop=tenacity.stop_after_delay(timeout_s),
        before_sleep=say,
        reraise=True,
    )


def retry_until_stopped(
    work: Callable[[], T], health: Health, stop: threading.Event, pause: Callable[[float], None] | None = None
) -> T:
    """Call `work` until nothing it needs is `Unavailable`, and return what it returns. `Stopped` when `stop` is set.

    Pauses 0.2 to 5 s, in which `stop` is heard unless `pause` is given. `health` beats at each attempt and misses what
    is away; what is there again is for `work` or its caller to say.
    """

    def begin(state: tenacity.RetryCallState) -> None:
        if stop.is_set():
            raise Stopped
        health.beat()

    def say(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Unavailable):
            health.mark_missing(error.part, str(error))

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Unavailable),
        wait=_jittered(LONGEST_PAUSE_S),
        sleep=pause or tenacity.sleep_using_event(stop),
        before=begin,
        before_sleep=say,
    )(work)


def wait_until(check: Callable[[], T | None], what: str, timeout_s: float, interval_s: float = 0.2) -> T:
    """Poll `check` until it returns something true, and return that; after `timeout_s` a `UserError` names `what`."""
    polling = tenacity.Retrying(
        retry=tenacity.retry_if_not_result(bool),
        wait=tenacity.wait_fixed(interval_s),
        stop=tenacity.stop_after_delay(timeout_s),
    )
    try:
        return cast("T", polling(check))
    except tenacity.RetryError:
        raise UserError(f"{what}: not so after {timeout_s:g} s") from None


def _jittered(longest_s: float) -> tenacity.wait.wait_base:
    return tenacity.wait_exponential(multiplier=FIRST_PAUSE_S, max=longest_s) + tenacity.wait_random(0, JITTER_S)
