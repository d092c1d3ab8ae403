"""How long tests wait for what must come true."""

WAIT_TIMEOUT_S = 900.0
"""A bound, not an expectation: on a slow machine that has other work things may take tens of times as long as here, and
only what never comes takes so long."""
