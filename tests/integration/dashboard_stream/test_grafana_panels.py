"""Every panel's SQL against the real target database, as Grafana's role and on rows whose answers are known."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from tests.conftest import Stack
from tests.dashboard_stream.grafana import expand, panels
from tests.integration.dashboard_stream.panel_rows import (
    ADAPTATIONS,
    ALARMS,
    ANSWERS,
    DEAD_LETTERS,
    DRIFT,
    END,
    PREDICTIONS,
    START,
    at,
    epoch,
)
from tests.integration.target_tables import target_tables


@pytest.fixture(scope="module")
def schema(stack: Stack) -> Iterator[str]:
    """A schema with the target's tables, the rows above in them."""
    with target_tables(stack, "dashboardreader") as name:
        tables = psycopg2.connect(stack.target_url, options=f"-csearch_path={name}")
        try:
            with tables, tables.cursor() as filling:
                execute_values(
                    filling,
                    'insert into cargo_prediction (id, "timestamp", dataset, image_path, target, label,'
                    " predicted_at, confidence, model_version) values %s",
                    [(*row, 0.9, "2" if row[0] in {3, 4} else "1") for row in PREDICTIONS],
                )
                execute_values(
                    filling,
                    'insert into cargo_dead_letter (topic, "partition", "offset", id, reason, recorded_at, fingerprint)'
                    " values %s",
                    [(*letter, str(number)) for number, letter in enumerate(DEAD_LETTERS)],
                )
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
