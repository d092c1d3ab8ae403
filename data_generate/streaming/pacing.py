"""How many rows are due at a moment, at a rate that may change."""

import math

MAX_BACKLOG_S = 2.0
"""A stall up to this long is caught up; after a longer one (the database was away) the pace starts anew, so that an
outage does not end in a flood."""


class Pace:
    """Counts rows against a clock that the caller reads; due times come from the count, so errors do not add up."""

    def __init__(self, rate: float) -> None:
        """`rate` in rows a second, more than 0. The first row is due at second 0."""
        self._rate = rate
        self._start_s = 0.0
        self._taken = 0

    def change(self, rate: float, elapsed_s: float) -> None:
        """Go on at another rate. What is missing to the next row, or overdue, stays the same part of a row."""
        if rate != self._rate:
            overdue = (elapsed_s - self._start_s) * self._rate - self._taken
            self._rate, self._start_s, self._taken = rate, elapsed_s - overdue / rate, 0

    def restart(self, elapsed_s: float) -> None:
        """Forget what was missed; a row is due now."""
        self._start_s, self._taken = elapsed_s, 0

    def due(self, elapsed_s: float) -> int:
        """How many rows are due `elapsed_s` seconds after the start and not yet taken."""
        if elapsed_s - self._next_s() > MAX_BACKLOG_S:
            self.restart(elapsed_s)
        return max(math.floor((elapsed_s - self._start_s) * self._rate + 1e-9) + 1 - self._taken, 0)

    def take(self, count: int) -> None:
        """Say that `count` rows were inserted."""
        self._taken += count

    def wait_s(self, elapsed_s: float) -> float:
        """Seconds until the next row is due."""
        return max(self._next_s() - elapsed_s, 0.0)

    def _next_s(self) -> float:
        return self._start_s + self._taken / self._rate
