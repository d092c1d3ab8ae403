"""Every panel's SQL against the real target database, as Grafana's role and on rows whose answers are known."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from common.paths import REPOSITORY
from common.postgres import apply_schema
from tests.conftest import Stack
from tests.dashboard_stream.grafana import expand, panels

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(offset_s: float) -> datetime:
    return START + timedelta(seconds=offset_s)


END = at(30)

# id, inserted, data set, image, predicted class, true class, predicted
PREDICTIONS = [
    (1, at(1.0), "monday", "wood/a.jpg", 4, 4, at(1.1)),
    (2, at(2.0), "monday", "brick/b.jpg", 4, 1, at(2.2)),
    (3, at(2.5), "tuesday", "brick/c.jpg", 1, 1, at(2.8)),
    (4, at(7.0), "tuesday", "ground/d.jpg", 3, None, at(7.4)),
    # Outside the time range, the last one only by the time of its prediction.
    (5, at(-10), "monday", "wood/e.jpg", 4, 4, at(-9)),
    (6, at(29.5), "monday", "wood/f.jpg", 0, 4, at(31)),
]
DEAD_LETTERS = [
    ("topic", 0, 1, None, "not JSON", at(3)),
    ("topic", 0, 2, 77, "no such image", at(4)),
    ("topic", 1, 1, 78, "no such image", at(5)),
    ("topic", 1, 2, 79, "no such image", at(-5)),
]
# version, detector, first and last id, size, score, threshold, alarm, checked
DRIFT = [
    ("1", "confidence", 1, 75, 75, 0.05, 0.04, 0.10, False, at(1)),
    ("1", "mmd", 1, 75, 75, 0.03, 0.0, 0.02, True, at(1)),
    ("1", "confidence", 6, 80, 75, 0.15, 0.04, 0.10, True, at(2)),
    # Without a reference there is no threshold.
    ("2", "confidence", 90, 165, 75, 0.07, None, None, False, at(3)),
    ("1", "confidence", 0, 70, 75, 0.05, 0.04, 0.10, False, at(-2)),
]
EVIDENCE = '{"images": [{"image_path": "wood/a.jpg"}, {"image_path": "wood/b.jpg"}]}'
# detector, version, first and last id, score, threshold, began, ended, why, evidence
ALARMS = [
    ("confidence", "1", 1, 75, 0.12345, 0.1, at(-60), at(-50), "ended before", EVIDENCE),
    ("confidence", "1", 1, 75, 0.12345, 0.1, at(-20), at(5), "version 2 serves", EVIDENCE),
    ("accuracy", "2", 90, 165, 0.2, 0.15, at(6), None, None, "{}"),
    ("accuracy", "3", 90, 165, 0.2, 0.15, at(40), None, None, "{}"),
]
# alarm, state, champion, challenger, strategy, images, reason, began, finished
ADAPTATIONS = [
    (1, "failed", "1", None, "all", 5, "ended before", at(-55), at(-50)),
    (2, "promoted", "1", "2", "balanced_margin", 300, "better by 12 points", at(-15), at(4)),
    (3, "training", "2", None, "balanced_margin", 50, None, at(7), None),
]


def epoch(offset_s: float) -> float:
    return at(offset_s).timestamp()


ANSWERS: dict[str, tuple[tuple[str, ...], list[tuple[object, ...]]]] = {
    "Cargo inference result": (
        ("timestamp", "target"),
        [(at(29.5), 0), (at(7.0), 3), (at(2.5), 1), (at(2.0), 4), (at(1.0), 4)],
    ),
    # The row without a label counts for neither.
    "Accuracy by data set": (
        ("time", "dataset", "accuracy"),
        [(epoch(0), "monday", 0.5), (epoch(0), "tuesday", 1.0)],
    ),
    "Throughput": (
        ("time", "rows/s"),
        [(epoch(0), 0.6), (epoch(5), 0.2), (epoch(10), 0), (epoch(15), 0), (epoch(20), 0), (epoch(25), 0)],
    ),
    "Latency": (
        ("time", "p50", "p99"),
        [(epoch(0), 200, 298), (epoch(5), 400, 400)],
    ),
    "Predicted classes": (
        ("class", "rows"),
        [("brick", 1), ("3", 1), ("wood", 2)],
    ),
    "Dead letters": (
        ("reason", "rows", "latest"),
        [("no such image", 2, at(5)), ("not JSON", 1, at(3))],
    ),
    "Drift by detector": (
        ("time", "detector", "drift"),
        [(at(1), "confidence", 0.5), (at(1), "mmd", 1.5), (at(2), "confidence", 1.5)],
    ),
    "Uncertainty": (
        ("time", "uncertainty", "threshold"),
        [(at(1), 0.05, 0.1), (at(2), 0.15, 0.1), (at(3), 0.07, None)],
    ),
    "Drift alarms": (
        ("began_at", "ended_at", "detector", "model_version", "score", "threshold", "end_reason", "images"),
        [
            (at(6), None, "accuracy", "2", 0.2, 0.15, None, None),
            (
                *(at(-20), at(5), "confidence", "1", 0.123, 0.1),
                *("version 2 serves", "wood/a.jpg, wood/b.jpg"),
            ),
        ],
    ),
    "Accuracy by model version": (
        ("time", "model_version", "accuracy"),
        [(epoch(0), "version 1", 0.5), (epoch(0), "version 2", 1.0)],
    ),
    "Served version": (
        ("time", "model_version", "predictions"),
        [(epoch(0), "version 1", 2), (epoch(0), "version 2", 1), (epoch(5), "version 2", 1)],
    ),
    "Adaptations": (
        (
            *("began_at", "finished_at", "state", "champion_version", "challenger_version", "strategy", "images"),
            "reason",
        ),
        [
            (at(7), None, "training", "2", None, "balanced_margin", 50, None),
            (at(-15), at(4), "promoted", "1", "2", "balanced_margin", 300, "better by 12 points"),
        ],
    ),
}
"""What each panel shows of the rows above with points 5 s apart; a new panel is one entry more."""


@pytest.fixture(scope="module")
def schema(stack: Stack) -> Iterator[str]:
    """A schema with the target's tables, the rows above in them."""
    name = f"grafana_{uuid.uuid4().hex}"
    with stack.target() as owner, owner.cursor() as cursor:
        cursor.execute(f"create schema {name}")
        try:
            tables = psycopg2.connect(stack.target_url, options=f"-csearch_path={name}")
            try:
                apply_schema(tables, REPOSITORY / "kafka" / "target_schema.sql")
                with tables, tables.cursor() as filling:
                    execute_values(
                        filling,
                        'insert into cargo_prediction (id, "timestamp", dataset, image_path, target, label,'
                        " predicted_at, confidence, model_version) values %s",
                        [(*row, 0.9, "2" if row[0] in {3, 4} else "1") for row in PREDICTIONS],
                    )
                    execute_values(filling, "insert into cargo_dead_letter values %s", DEAD_LETTERS)
                    execute_values(filling, "insert into drift values %s", DRIFT)
                    execute_values(
                        filling,
                        "insert into drift_alarm (detector, model_version, first_id, last_id, score, threshold,"
                        " began_at, ended_at, end_reason, evidence) values %s",
                        ALARMS,
                    )
                    execute_values(
                        filling,
                        "insert into adaptation (alarm_id, state, champion_version, challenger_version, strategy,"
                        " images, reason, began_at, finished_at) values %s",
                        ADAPTATIONS,
                    )
            finally:
                tables.close()
            yield name
        finally:
            cursor.execute(f"drop schema {name} cascade")


def connected_as_grafana(stack: Stack, options: str = "") -> Connection:
    url = stack.target_url.replace("targetuser:targetpassword@", "dashboardreader:dashboardreaderpassword@")
    return psycopg2.connect(url, options=options)


@pytest.fixture
def reader(stack: Stack, schema: str) -> Iterator[Connection]:
    """Connected as Grafana is, looking at the schema above."""
    connection = connected_as_grafana(stack, f"-csearch_path={schema}")
    try:
        yield connection
    finally:
        connection.close()


def show(
    reader: Connection, title: str, start: datetime = START, end: datetime = END, interval_s: int = 5
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The columns and rows that Grafana would get for a panel, every number as a float of six places."""
    (target,) = panels()[title]["targets"]
    with reader, reader.cursor() as cursor:
        cursor.execute(expand(target["rawSql"], start, end, interval_s))
        assert cursor.description
        rows = [
            tuple(
                value if value is None or isinstance(value, datetime | str) else round(float(value), 6) for value in row
            )
            for row in cursor
        ]
        return tuple(column.name for column in cursor.description), rows


@pytest.mark.parametrize("title", sorted(panels()))
def test_a_panel_shows_what_the_rows_say(reader: Connection, title: str) -> None:
    columns, rows = ANSWERS[title]
    shown_columns, shown_rows = show(reader, title)
    assert shown_columns == columns
    assert shown_rows == rows


@pytest.mark.parametrize("title", sorted(panels()))
def test_a_panel_is_empty_rather_than_wrong_when_nothing_happened(reader: Connection, title: str) -> None:
    _, rows = show(reader, title, at(3600), at(3630))
    lasting = {
        "Throughput": [(epoch(3600 + 5 * turn), 0) for turn in range(6)],
        # What has no end yet.
        "Drift alarms": [(at(40), "3"), (at(6), "2")],
        "Adaptations": [(at(7), "2")],
    }
    if title in {"Drift alarms", "Adaptations"}:
        rows = [(row[0], row[3]) for row in rows]
    assert rows == lasting.get(title, [])


def test_the_live_tables_answer_every_panel(stack: Stack) -> None:
    reader = connected_as_grafana(stack)
    try:
        for title in panels():
            show(reader, title, datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC))
    finally:
        reader.close()


def test_throughput_leaves_out_intervals_that_the_time_range_cuts(reader: Connection) -> None:
    """Rows of a part of an interval, divided by all of it, would look as if the stream slowed down now."""
    _, rows = show(reader, "Throughput", at(2), at(13))
    assert rows == [(epoch(5), 0.2)]


@pytest.mark.parametrize(
    "statement",
    [
        "insert into cargo (id, \"timestamp\", dataset, image_path) values (1, now(), 'monday', 'wood/a.jpg')",
        "update cargo_prediction set target = 0",
        "delete from cargo_dead_letter",
        "truncate cargo_prediction",
        "create table mine (id int)",
    ],
)
def test_the_role_cannot_write(reader: Connection, statement: str) -> None:
    with reader.cursor() as cursor:
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            cursor.execute(statement)
        reader.rollback()
        # Nor when the session asks for it.
        cursor.execute("set transaction read write")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)


def test_a_slow_statement_of_the_role_is_ended(reader: Connection) -> None:
    with reader.cursor() as cursor, pytest.raises(psycopg2.errors.QueryCanceled, match="statement timeout"):
        cursor.execute("select pg_sleep(60)")
