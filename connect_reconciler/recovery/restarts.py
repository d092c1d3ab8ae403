"""How often a failed connector may be restarted."""

import math
from collections import deque

from common.waiting import RetrySchedule

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
SETTLED_AFTER_S = 30.0
"""A connector that has run this long counts as recovered."""


class RestartLimit:
    """At most `limit` restarts within `window_s` seconds, each pause twice the last. The caller brings the time."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._restarts: deque[float] = deque()
        self._schedule = RetrySchedule(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._due = -math.inf
        self._running_since: float | None = None

    def may_restart(self, now: float) -> bool:
        """Whether the pause is over and the window has room."""
        return now >= self._due and not self.exhausted(now)

    def exhausted(self, now: float) -> bool:
        """Whether the window's restarts are used up."""
        while self._restarts and now - self._restarts[0] >= self._window_s:
            self._restarts.popleft()
        return len(self._restarts) >= self._limit

    def restarted(self, now: float) -> None:
        """Count one restart."""
        self._restarts.append(now)
        self._due = now + self._schedule.failed()
        self._running_since = None

    def reset(self) -> None:
        """Forget the restarts so far: their cause was found and removed, so a next failure is another matter."""
        self._restarts.clear()
        self._settled()
        self._running_since = None

    def seen_running(self, now: float) -> None:
        """Call at every look that finds the connector running."""
        if self._running_since is None:
            self._running_since = now
        elif now - self._running_since >= SETTLED_AFTER_S:
            self._settled()

    def seen_down(self) -> None:
        """Call at every look that finds it not running."""
        self._running_since = None

    def _settled(self) -> None:
        self._schedule.reset()
        self._due = -math.inf
