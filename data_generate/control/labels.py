"""When a row's label arrives: with the row, some time after it, or never. Late ones wait in `cargo_label_due`."""

from collections.abc import Sequence
from typing import Any

from psycopg2.extras import execute_values

from common.cli import UserError

LONGEST_DELAY_S = 86_400.0
DELIVERED_AT_ONCE = 1000
"""Labels in one transaction."""

DUE = "select exists (select from cargo_label_due where due_at <= now())"

DELIVER = """
with due as (
    delete from cargo_label_due
    where id in (select id from cargo_label_due where due_at <= now() order by due_at, id limit %s)
    returning id, target
), labelled as (
    update cargo set target = due.target from due where cargo.id = due.id and cargo.target is distinct from due.target
)
select count(*) from due
"""


def parse_labels(text: str) -> float | None:
    """Seconds from a row to its label by `on` (0), `late SECONDS`, or `off` (None). Raises `UserError`."""
    words = text.split()
    if words in (["on"], ["off"]):
        return 0.0 if words == ["on"] else None
    try:
        late, seconds = words
        delay_s = float(seconds) if late == "late" else 0.0
    except ValueError:
        delay_s = 0.0
    if not 0 < delay_s <= LONGEST_DELAY_S:
        raise UserError(
            f"labels {text!r} is none. Write on, off, or late SECONDS with more than 0 and at most {LONGEST_DELAY_S:g}."
        )
    return delay_s


def describe_labels(delay_s: float | None) -> str:
    """The opposite of `parse_labels`, in words."""
    if delay_s is None:
        return "no labels"
    return f"labels {delay_s:g} s late" if delay_s else "labels with the rows"


def without_labels(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The rows with NULL for the label, which is their last value."""
    return [(*row[:-1], None) for row in rows]


def schedule_labels(cursor: Any, numbered: Sequence[tuple[object, ...]], delay_s: float) -> None:
    """Note labels to deliver after `delay_s`. A row begins with its id and ends with its label; NULL is none."""
    owed = [(row[0], row[-1], delay_s) for row in numbered if row[-1] is not None]
    if owed:
        execute_values(
            cursor,
            "insert into cargo_label_due (id, target, due_at) values %s on conflict (id) do nothing",
            owed,
            template="(%s, %s, now() + %s * interval '1 second')",
            page_size=len(owed),
        )


def any_due(cursor: Any) -> bool:
    """Whether a label is to be delivered now."""
    cursor.execute(DUE)
    (due,) = cursor.fetchone()
    return bool(due)


def deliver(cursor: Any) -> int:
    """Deliver what is due, the oldest first, at most `DELIVERED_AT_ONCE`; returns how many."""
    cursor.execute(DELIVER, (DELIVERED_AT_ONCE,))
    (delivered,) = cursor.fetchone()
    return int(delivered)
