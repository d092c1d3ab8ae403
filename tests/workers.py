"""Several workers of pytest side by side: a file's tests stay together, each worker has ports of its own, the long
files come first."""

import os

import pytest

NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Of this worker, from 0; of a run without workers 0."""

STACK_OFFSETS = (20000, 20250, 20500, 20750)
"""Of each worker's stack: no port of one is a port of another, and all lie below those that clients get at random."""


def stack_offset() -> int:
    """By how much the ports of this worker's stack are moved."""
    if len(STACK_OFFSETS) <= NUMBER:
        raise pytest.UsageError(f"at most {len(STACK_OFFSETS)} workers can have a stack: make test WORKERS=2")
    return STACK_OFFSETS[NUMBER]


LONGEST_FIRST = (
    "tests/e2e/test_compose.py",
    "tests/e2e/test_demo_story.py",
    "tests/e2e/test_promise.py",
    "tests/e2e/test_demo.py",
    "tests/integration/model_registry/",
    "tests/e2e/",
    "tests/integration/",
)
"""Who takes the longest file last waits alone for it in the end."""


def rank(path: str) -> int:
    """0 for what shall begin first."""
    return next((place for place, prefix in enumerate(LONGEST_FIRST) if path.startswith(prefix)), len(LONGEST_FIRST))
