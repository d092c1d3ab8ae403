"""Whether the replica equals the source table, asked of both databases in bounded steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from common.postgres import Connection
from local_stack.inspection.account import STEP, read_only_session

# Text is compared as it travels: the connector cuts it at 255 characters.
ROW = """
hashtextextended(concat_ws('|', extract(epoch from "timestamp"), left(dataset, 255), left(image_path, 255), target), 0)
"""
SUM = f"select count(*), sum({ROW}) from cargo where id > %s and id <= %s"  # noqa: S608 - our own text
EACH = f"select id, {ROW} from cargo where id > %s and id <= %s"  # noqa: S608 - our own text


@dataclass(frozen=True)
class ReplicaDifference:
    """Ids of rows, sorted."""

    missing: Sequence[int]
    """In the source only."""
    different: Sequence[int]
    """In both, with another content."""
    extra: Sequence[int]
    """In the replica only."""

    @property
    def to_send(self) -> list[int]:
        """Those that are to go from the source to the replica again."""
        return sorted([*self.missing, *self.different])


def compare_replica(source_url: str, target_url: str, last_id: int) -> ReplicaDifference:
    """Every row up to `last_id`, and those that only the replica has; an equal step costs a number of each."""
    missing: list[int] = []
    different: list[int] = []
    extra: list[int] = []
    with read_only_session(source_url) as source, read_only_session(target_url) as target:
        for bounds in _steps(source, last_id):
            if _one(source, SUM, bounds) == _one(target, SUM, bounds):
                continue
            here, there = _rows(source, bounds), _rows(target, bounds)
            missing += sorted(here.keys() - there.keys())
            extra += sorted(there.keys() - here.keys())
            different += sorted(number for number in here.keys() & there.keys() if here[number] != there[number])
        extra += _extra_above(source, target, last_id)
    return ReplicaDifference(missing, different, extra)


def _extra_above(source: Connection, target: Connection, last_id: int) -> list[int]:
    """Ids behind the source's last one: of rows that came meanwhile, or that a restored source has no more."""
    found: list[int] = []
    below = last_id
    while ids := _ids(target, "select id from cargo where id > %s order by id limit %s", (below, STEP)):
        there = set(_ids(source, "select id from cargo where id = any(%s)", (ids,)))
        found += [number for number in ids if number not in there]
        below = ids[-1]
    return found


def _ids(database: Connection, query: str, values: Sequence[object]) -> list[int]:
    with database.cursor() as cursor:
        cursor.execute(query, values)
        return [row[0] for row in cursor.fetchall()]


def _steps(source: Connection, last_id: int) -> Iterator[tuple[int, int]]:
    """Ranges of ids that hold at most `STEP` rows of the source each, and everything up to `last_id` together."""
    below = -(2**63)
    while True:
        query = "select max(id) from (select id from cargo where id > %s and id <= %s order by id limit %s) as step"
        (end,) = _one(source, query, (below, last_id, STEP))
        if end is None:
            yield below, last_id
            return
        yield below, end
        below = end


def _one(database: Connection, query: str, values: Sequence[int]) -> Any:
    with database.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()


def _rows(database: Connection, bounds: tuple[int, int]) -> dict[int, int]:
    with database.cursor() as cursor:
        cursor.execute(EACH, bounds)
        return dict(cursor.fetchall())
