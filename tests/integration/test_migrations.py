"""Schemas that come about step by step, on the databases of the running stack."""

import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import migrations
from common.cli import UserError
from common.health.state import Health
from common.migrations import Schema, migrate, pending
from common.postgres import connect
from common.waiting import wait_until
from connect_reconciler import create_target_tables, target_tables
from connect_reconciler.settings import Settings
from data_generate.streaming import source_tables
from tests.conftest import Stack
from tests.timeouts import WAIT_TIMEOUT_S

ROWS = 1_000_000
FIRST_PREDICTIONS = """
insert into cargo_prediction (id, "timestamp", dataset, image_path, target, confidence, model_version)
select id, now(), 'monday', 'wood/' || id || '.jpg', 4, 0.5, '1' from generate_series(1, %s) as id
"""
DEFINITIONS = "select oid, xmin::text from pg_class where relnamespace = current_schema()::regnamespace order by oid"


class Database:
    """A schema of its own in one of the stack's databases."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = connect(url, "test")
        self._connection.autocommit = True

    def query(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self._connection.close()


def database(url: str) -> Iterator[Database]:
    schema = f"migrated_{uuid.uuid4().hex}"
    database = Database(f"{url}?options=-csearch_path%3D{schema}")
    database.query(f"create schema {schema}")
    yield database
    database.query(f"drop schema {schema} cascade")
    database.close()


@pytest.fixture
def target(stack: Stack) -> Iterator[Database]:
    yield from database(stack.target_url)


@pytest.fixture
def source(stack: Stack) -> Iterator[Database]:
    yield from database(stack.source_url)


def names(schema: Schema) -> list[str]:
    return sorted(file.stem for file in schema.folder.glob("*.sql"))


def test_each_step_is_run_once_whoever_comes(target: Database) -> None:
    assert pending(target.url, target_tables.SCHEMA, "test") == names(target_tables.SCHEMA)
    runs: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: runs.append(migrate(target.url, target_tables.SCHEMA, "test")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_TIMEOUT_S)
    assert sorted(runs, key=len) == [[], [], [], names(target_tables.SCHEMA)]
    assert pending(target.url, target_tables.SCHEMA, "test") == []


@pytest.mark.parametrize("schema", [source_tables.SCHEMA, target_tables.SCHEMA])
def test_a_step_bears_being_run_again(source: Database, target: Database, schema: Schema) -> None:
    """Killed between a step and the note that it was run."""
    database = source if schema is source_tables.SCHEMA else target
    migrate(database.url, schema, "test")
    columns = "select table_name, column_name from information_schema.columns where table_schema = current_schema()"
    before = database.query(f"{columns} order by 1, 2")
    database.query("delete from _yoyo_migration")
    assert migrate(database.url, schema, "test") == names(schema)
    assert database.query(f"{columns} order by 1, 2") == before


def test_tables_from_before_there_were_steps_are_taken_over(target: Database) -> None:
    migrate(target.url, target_tables.SCHEMA, "test")
    target.query("drop table _yoyo_migration, _yoyo_log, _yoyo_version, yoyo_lock")
    target.query("alter table adaptation drop column steps, drop column wanted")
    migrate(target.url, target_tables.SCHEMA, "test")
    assert target.query("select steps, wanted from adaptation") == []


def test_a_million_rows_are_neither_lost_nor_written_anew(target: Database, tmp_path: Path) -> None:
    first = f"{names(target_tables.SCHEMA)[0]}.sql"
    shutil.copy(target_tables.SCHEMA.folder / first, tmp_path)
    migrate(target.url, Schema(tmp_path, ()), "test")
    target.query(FIRST_PREDICTIONS, ROWS)
    file_of_the_table = "select pg_relation_filenode('cargo_prediction')"
    before = target.query(file_of_the_table)
    migrate(target.url, target_tables.SCHEMA, "test")
    assert target.query(file_of_the_table) == before
    assert target.query("select count(*), sum(id) from cargo_prediction") == [(ROWS, ROWS * (ROWS + 1) // 2)]


def test_who_waits_for_a_table_lets_others_to_it(target: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "200ms")
    migrate(target.url, target_tables.SCHEMA, "test")
    target.query("delete from _yoyo_migration")
    reader = connect(target.url, "reader")
    with reader.cursor() as cursor:
        # An open transaction: what changes the table has to wait for its end.
        cursor.execute("select from cargo_prediction")
        with pytest.raises(UserError, match="are in use"):
            migrate(target.url, target_tables.SCHEMA, "test", timeout_s=0)
        target.query(FIRST_PREDICTIONS, 1)
    reader.close()
    assert migrate(target.url, target_tables.SCHEMA, "test")[-1] == names(target_tables.SCHEMA)[-1]
    assert target.query("select count(*) from cargo_prediction") == [(1,)]


def test_looking_changes_nothing(target: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create_target_tables, "POLL_INTERVAL_S", 0.01)
    health, stop, looks = Health(), threading.Event(), 0
    health.mark_missing("tables", "not checked yet")

    def look(url: str, schema: Schema, application: str) -> list[str]:
        nonlocal looks
        looks += 1
        return pending(url, schema, application)

    monkeypatch.setattr(create_target_tables, "pending", look)
    settings = Settings(target_database_url=target.url)
    keeper = threading.Thread(target=create_target_tables.keep_tables, args=(settings, health, stop))
    keeper.start()
    try:
        wait_until(lambda: health.ready()[0], "tables are there", WAIT_TIMEOUT_S)
        before, seen = target.query(DEFINITIONS), looks
        wait_until(lambda: looks > seen + 20, "twenty looks", WAIT_TIMEOUT_S)
        assert target.query(DEFINITIONS) == before
        target.query("drop table drift_alarm cascade")
        wait_until(lambda: target.query("select to_regclass('drift_alarm')") != [(None,)], "it is back", WAIT_TIMEOUT_S)
    finally:
        stop.set()
        keeper.join(WAIT_TIMEOUT_S)


def test_a_truncation_deletes_each_row_so_that_the_log_tells_of_it(source: Database) -> None:
    migrate(source.url, source_tables.SCHEMA, "test")
    source.query("insert into cargo (image_path) select 'wood/wood_1.jpg' from generate_series(1, 3)")
    source.query("create table told (id bigint)")
    source.query(
        "create function tell() returns trigger language plpgsql as"
        " $$ begin insert into told values (old.id); return null; end $$"
    )
    source.query("create trigger tell after delete on cargo for each row execute function tell()")
    source.query("truncate cargo")
    assert source.query("select id from told order by id") == [(1,), (2,), (3,)]
    assert source.query("select count(*) from cargo") == [(0,)]
