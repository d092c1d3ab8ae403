"""The world of the source changes while rows flow: what is gone, altered, lost or restored there."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from rich.console import Console

from common.waiting import wait_until
from data_generate.streaming import source_tables
from local_stack.inspection.account import source_end
from local_stack.inspection.links import BrokenLink
from local_stack.inspection.repair import repair_all, take_stock
from local_stack.inspection.replica import compare_replica
from local_stack.inspection.source_checks import publication, replication_slot, source_table
from tests.conftest import Stack
from tests.integration.connect_reconciler.rows_topic import insert, query
from tests.timeouts import WAIT_TIMEOUT_S

PICTURES = ("wood/wood_1.jpg", "brick/brick_1.jpg")


@pytest.fixture(autouse=True)
def flowing(stack: Stack) -> Iterator[None]:
    stack.wait_ready("connect-reconciler")
    stack.wait_ready("data-subscriber")
    yield
    predicted(stack, insert(stack))


def execute(stack: Stack, *statements: str) -> None:
    with stack.source() as source, source.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def outcome(stack: Stack, row: int) -> tuple[Any, ...] | None:
    rows = query(
        stack,
        "target",
        "select image_path, label, model_version, predicted_at, deleted_at is not null from cargo_prediction"
        " where id = %s union all select reason, null, null, null, deleted_at is not null from cargo_dead_letter"
        " where id = %s",
        *(row, row),
    )
    assert len(rows) <= 1
    return rows[0] if rows else None


def predicted(stack: Stack, row: int) -> tuple[Any, ...]:
    found: tuple[Any, ...] = wait_until(lambda: outcome(stack, row), f"an outcome of row {row}", WAIT_TIMEOUT_S)
    return found


def replica_is_equal(stack: Stack) -> None:
    def equal() -> bool:
        difference = compare_replica(stack.source_url, stack.target_url, source_end(stack.source_url).last_id)
        return not difference.to_send and not difference.extra

    wait_until(equal, "the replica equals the source", WAIT_TIMEOUT_S)


def test_labels_and_pictures_and_keys_change_and_rows_go(stack: Stack) -> None:
    rows = [insert(stack) for _ in range(5)]
    before = [predicted(stack, row) for row in rows]
    labelled, moved, deleted, rekeyed, last = rows
    new_key = last + 1_000_000_000
    execute(
        stack,
        f"update cargo set target = 2 where id = {labelled}",
        f"update cargo set image_path = '{PICTURES[1]}' where id = {moved}",
        f"delete from cargo where id = {deleted}",
        f"update cargo set id = {new_key} where id = {rekeyed}",
    )
    wait_until(lambda: predicted(stack, labelled)[1] == 2, "the late label", WAIT_TIMEOUT_S)
    assert predicted(stack, labelled)[2:4] == before[0][2:4], "neither version nor time of the prediction has changed"
    wait_until(lambda: predicted(stack, moved)[0] == PICTURES[1], "the other picture", WAIT_TIMEOUT_S)
    assert predicted(stack, moved)[3] > before[1][3]
    wait_until(lambda: predicted(stack, deleted)[-1] and predicted(stack, rekeyed)[-1], "both are gone", WAIT_TIMEOUT_S)
    assert predicted(stack, new_key)[0] == PICTURES[0]
    replica_is_equal(stack)
    execute(stack, f"delete from cargo where id = {new_key}")


def test_what_does_not_belong_to_the_stream_neither_harms_nor_travels(stack: Stack) -> None:
    """New columns, widened ones, megabytes in them."""
    big = "repeat('x', 3000000)"
    execute(
        stack,
        "alter table cargo add column photo bytea, add column note text",
        "alter table cargo alter column image_path type text",
    )
    try:
        assert "note, photo" in source_table()
        many = f"'{PICTURES[0]}', {big}::bytea, {big}"
        ((first,),) = query(
            stack, "source", f"insert into cargo (image_path, photo, note) values ({many}) returning id"
        )
        assert predicted(stack, first)[0] == PICTURES[0]
        ((wide,),) = query(stack, "source", f"insert into cargo (image_path) values ({big}) returning id")
        assert "xxx" in predicted(stack, wide)[0], "a dead letter, which names the picture"
        with pytest.raises(psycopg2.errors.CheckViolation):
            execute(stack, f"insert into cargo (dataset, image_path) values ({big}, '{PICTURES[0]}')")
        replica_is_equal(stack)
    finally:
        execute(
            stack,
            "alter table cargo drop column photo, drop column note",
            "delete from cargo where length(image_path) > 255",
            "alter table cargo alter column image_path type varchar(255)",
        )


def test_a_column_that_is_gone_is_named(stack: Stack) -> None:
    execute(stack, "alter table cargo rename column target to truth")
    try:
        with pytest.raises(BrokenLink, match="no column target"):
            source_table()
    finally:
        execute(stack, "alter table cargo rename column truth to target")


def test_a_slot_that_was_dropped(stack: Stack) -> None:
    known = query(stack, "target", "select id, predicted_at from cargo_prediction order by id limit 100")
    stack.stop("connect")
    execute(stack, "select pg_drop_replication_slot('dbz_cargo')")
    meanwhile = insert(stack)
    with pytest.raises(BrokenLink, match="missing"):
        replication_slot()
    stack.start("connect")
    predicted(stack, meanwhile)
    again = "select id, predicted_at from cargo_prediction where id <= %s order by id limit 100"
    assert query(stack, "target", again, known[-1][0]) == known, "what had its prediction went through no model again"


def test_a_slot_that_was_given_up_for_its_size(stack: Stack) -> None:
    stack.stop("connect")
    settings = stack.state_dir / "source-postgres" / "data" / "postgresql.auto.conf"
    before = settings.read_text()
    try:
        settings.write_text(f"{before}max_slot_wal_keep_size = '1MB'\n")
        restart_source(stack)
        meanwhile = insert(stack)
        execute(stack, "create table elsewhere (content text)")
        for _ in range(4):
            # Some 20 MB of log; a shutdown writes a checkpoint, which gives up slots that are behind.
            execute(stack, "insert into elsewhere select repeat(md5(n::text), 30) from generate_series(1, 20000) as n")
        restart_source(stack)
        assert query(stack, "source", "select wal_status from pg_replication_slots") == [("lost",)]
        with pytest.raises(BrokenLink, match="lost"):
            replication_slot()
    finally:
        settings.write_text(before)
        restart_source(stack)
        stack.start("connect")
    execute(stack, "drop table elsewhere")
    predicted(stack, meanwhile)


def test_a_table_that_was_made_anew(stack: Stack) -> None:
    execute(stack, "alter publication dbz_cargo drop table cargo")
    with pytest.raises(BrokenLink, match="lacks cargo"):
        publication()
    unseen = insert(stack)
    source_tables.create(stack.source_url, "test")
    assert "publishes" in publication()
    predicted(stack, insert(stack))
    assert outcome(stack, unseen) is None
    console = Console(record=True, width=200)
    assert not take_stock(console).good
    assert str(unseen) in console.export_text()
    repair_all(console)
    assert predicted(stack, unseen)[0] == PICTURES[0]
    assert take_stock(console).good, console.export_text()


def test_a_source_that_was_restored_from_a_backup(stack: Stack) -> None:
    """Its ids and its log start again; its clock does not."""
    data = stack.state_dir / "source-postgres" / "data"
    backup = Path(f"{data}.backup")
    stack.stop("data-generator")
    stack.stop("source-postgres")
    subprocess.run(["cp", "-a", data, backup], check=True)
    start_source(stack)
    forgotten = [insert(stack) for _ in range(30)]
    execute(stack, "create table elsewhere as select repeat(md5(n::text), 30) from generate_series(1, 50000) as n")
    for row in forgotten:
        predicted(stack, row)
    stack.stop("source-postgres")
    shutil.rmtree(data)
    backup.rename(data)
    start_source(stack)
    changed = f"insert into cargo (image_path) select '{PICTURES[1]}' from generate_series(1, 10) returning id"
    again = [row for (row,) in query(stack, "source", changed)]
    assert set(again) & set(forgotten), "the same ids with another picture"

    def predicted_anew() -> bool:
        return all((outcome(stack, row) or ("",))[0] == PICTURES[1] for row in again)

    wait_until(predicted_anew, "every row that is there has an outcome of its own picture", WAIT_TIMEOUT_S)
    # Before the generator gives the other ids to new rows.
    assert not take_stock(Console(quiet=True)).good, "the replica has rows that the source has no more"
    repair_all(Console(quiet=True))
    replica_is_equal(stack)
    stack.start("data-generator")


def restart_source(stack: Stack) -> None:
    stack.stop("source-postgres")
    start_source(stack)


def start_source(stack: Stack) -> None:
    stack.start("source-postgres")
    stack.wait_ready("source-postgres")
