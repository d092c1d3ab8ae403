"""A source database of its own for a generator that is steered, and what is asked of it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.postgres import connect
from common.waiting import wait_until
from data_generate.control.commands import Command, State, ask, read_result
from data_generate.streaming import source_tables
from tests.conftest import Stack
from tests.integration.data_generate.generators import Source, source_of_its_own
from tests.timeouts import WAIT_TIMEOUT_S

ANSWER_TIMEOUT_S = 30


@pytest.fixture
def source(stack: Stack, tmp_path: Path) -> Iterator[Source]:
    with source_of_its_own(stack.source_url, tmp_path) as source:
        source_tables.create(source.url, "test")
        yield source


def requested(source: Source, command: str, argument: str = "") -> int:
    with closing(connect(source.url, "test")) as connection:
        return ask(connection, command, argument, "a test")


def answer(source: Source, number: int) -> Command:
    with closing(connect(source.url, "test")) as connection:
        return wait_until(lambda: read_result(connection, number), f"command {number} taken up", ANSWER_TIMEOUT_S)


def steer(source: Source, command: str, argument: str = "") -> str:
    """What the generator says of an applied command."""
    taken = answer(source, requested(source, command, argument))
    assert taken.state is State.applied, taken.result
    return str(taken.result)


def refusal(source: Source, command: str, argument: str = "") -> str:
    taken = answer(source, requested(source, command, argument))
    assert taken.state is State.refused
    return str(taken.result)


def newest(source: Source) -> int:
    return int(str(source.query("select coalesce(max(id), 0) from cargo")[0][0]))


def rows_after(source: Source, number: int, count: int = 20) -> list[tuple[object, ...]]:
    """Data set and label of at least `count` rows with greater ids."""

    def enough() -> list[tuple[object, ...]] | None:
        rows = source.query(f"select dataset, target, image_path from cargo where id > {number} order by id")
        return rows if len(rows) >= count else None

    return wait_until(enough, f"{count} rows", timeout_s=WAIT_TIMEOUT_S)
