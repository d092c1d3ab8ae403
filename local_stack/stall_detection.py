"""Patience that is counted in progress: a slow machine may take as long as it needs, as long as something moves."""

import time
from collections.abc import Callable, Hashable

STALL_S = 60.0
"""So long nothing at all may move."""


class StallDetector:
    """Remembers when what it is shown last changed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: Hashable = None
        self._moved_at = clock()

    def see(self, what: Hashable) -> None:
        """Anything that is another than before has moved."""
        if what != self._seen:
            self._seen, self._moved_at = what, self._clock()

    @property
    def lost(self) -> bool:
        """Whether nothing has moved for `STALL_S`."""
        return self._clock() - self._moved_at >= STALL_S
