"""Several workers of pytest side by side: a file's tests stay together, each worker has ports of its own, the long
files come first."""

import os

import pytest

NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Of this worker, from 0; of a run without workers 0."""

STACK_OFFSETS = (20000, 20250, 20500, 20750)
"""Of each worker's stack: no port of one is a port of another, and all lie below those that clients get at random."""

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

TOGETHER = {
    # In the same stack; the promise is tried first.
    "tests/e2e/test_tutorial.py": "tests/e2e/test_promise.py",
    # On the same ports.
    "tests/integration/model_registry/test_object_store.py": "tests/e2e/test_compose.py",
}
"""Files that one worker takes one after the other."""


def rank(path: str) -> int:
    """0 for what shall begin first."""
    return next((place for place, prefix in enumerate(LONGEST_FIRST) if path.startswith(prefix)), len(LONGEST_FIRST))


def arrange(items: list[pytest.Item]) -> None:
    """Sort by length, and name the group of each: `--dist loadgroup` gives a group to one worker."""
    items.sort(key=lambda item: rank(item.nodeid))
    for item in items:
        file = item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(TOGETHER.get(file, file)))
