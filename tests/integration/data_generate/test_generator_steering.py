"""Commands to a running generator, on the real source database, in a schema of its own."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege

from common.paths import REPOSITORY
from common.postgres import Role, apply_roles, apply_schema, connect
from common.waiting import wait_until
from data_generate.control.commands import Command, State, ask, read_result
from tests.conftest import Stack
from tests.integration.data_generate.generators import BULK, Source, source_of_its_own
from tests.timeouts import WAIT_TIMEOUT_S

ANSWER_TIMEOUT_S = 30
SCHEMA = REPOSITORY / "data_generate" / "schema.sql"


@pytest.fixture
def source(stack: Stack, tmp_path: Path) -> Iterator[Source]:
    with source_of_its_own(stack.source_url, tmp_path) as source:
        with closing(connect(source.url, "test")) as connection:
            apply_schema(connection, SCHEMA)
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


def test_each_command_steers_the_running_stream(source: Source) -> None:
    # Without commands: a row in five minutes.
    generator = source.start("--rate", "0.003", "--schedule", "10000:tuesday")
    assert steer(source, "rate", "100") == "100 rows/s, data sets by the schedule, labels with the rows"
    assert {dataset for dataset, *_ in rows_after(source, newest(source))} == {"monday"}
    assert steer(source, "mix", "tuesday") == "100 rows/s, tuesday=1, labels with the rows"
    assert {dataset for dataset, *_ in rows_after(source, newest(source))} == {"tuesday"}
    assert steer(source, "pause").startswith("paused")
    rows = source.count()
    assert steer(source, "mix", "monday").startswith("paused"), "one that is taken up later, without rows meanwhile"
    assert source.count() == rows
    assert steer(source, "resume") == "100 rows/s, monday=1, labels with the rows"
    rows_after(source, newest(source))
    assert steer(source, "labels", "off") == "100 rows/s, monday=1, no labels"
    assert {target for _, target, _ in rows_after(source, newest(source))} == {None}
    assert steer(source, "labels", "on") == "100 rows/s, monday=1, labels with the rows"
    assert {target for _, target, _ in rows_after(source, newest(source))} - {None}
    assert steer(source, "reset") == "0.003 rows/s, data sets by the schedule, labels with the rows"
    assert generator.poll() is None
    known = source.query("select command, requested_by, reason, state, settled_at is null from generator_command")
    assert {row[1:] for row in known} == {("myuser", "a test", "applied", False)}


def test_a_wrong_command_is_refused_with_what_is_allowed(source: Source, tmp_path: Path) -> None:
    generator = source.start("--rate", "100")
    assert "more than 0 and at most 100000" in refusal(source, "rate", "0")
    assert "more than 0 and at most 100000" in refusal(source, "rate", "fast")
    assert "on, off, or late SECONDS" in refusal(source, "labels", "sometimes")
    assert "rate, mix, pause, resume, labels, reset" in refusal(source, "halt")
    assert "make sample-data" in refusal(source, "mix", "wednesday")
    (tmp_path / "wednesday.json").write_text('{"image_path": "wood/a.jpg", "target": 4}\n')
    steer(source, "mix", "wednesday")
    assert {row[0] for row in rows_after(source, newest(source))} == {"wednesday"}
    assert generator.poll() is None


def test_iris_takes_what_fits(source: Source) -> None:
    source.start("--table", "iris", "--rate", "0.003")
    assert "rate, pause, resume, reset" in refusal(source, "mix", "monday")
    assert "rate, pause, resume, reset" in refusal(source, "labels", "off")
    steer(source, "rate", "100")
    wait_until(lambda: source.count("iris_data") > 20, "flowers", timeout_s=WAIT_TIMEOUT_S)


def test_steering_survives_a_kill_and_goes_on_with_what_was_asked_meanwhile(source: Source, tmp_path: Path) -> None:
    first = source.start("--rate", "0.003")
    for command, argument in (("rate", "50"), ("reset", ""), ("rate", "100"), ("mix", "tuesday"), ("labels", "off")):
        steer(source, command, argument)
    refusal(source, "rate", "-5")
    steer(source, "pause")
    first.send_signal(signal.SIGKILL)
    first.wait()
    number = requested(source, "resume")
    before = newest(source)
    second = source.start("--rate", "0.003")
    assert answer(source, number).result == "100 rows/s, tuesday=1, no labels"
    assert {row[:2] for row in rows_after(source, before)} == {("tuesday", None)}
    # A manifest that is gone by the next start ends nobody.
    second.send_signal(signal.SIGKILL)
    second.wait()
    (tmp_path / "tuesday.json").unlink()
    before = newest(source)
    source.start("--rate", "0.003")
    assert {row[:2] for row in rows_after(source, before)} == {("monday", None)}


def test_late_labels_arrive_after_a_kill_whatever_was_asked_meanwhile(source: Source) -> None:
    number = requested(source, "labels", "late 3600")
    first = source.start("--rate", "0.003", "--burst", "2400")
    assert answer(source, number).result == "0.003 rows/s, monday=1, labels 3600 s late"
    assert {target for _, target, _ in rows_after(source, BULK, 2400)} == {None}
    # Eight passes over 300 images, of which 270 have a label.
    owed = "image_path !~ '0$' and id in (select id from cargo_label_due)"
    promised = f"replace(image_path, '.jpg', '') as image_path, id from cargo where id > {BULK} order by id limit 2400"
    assert source.query(f"select count(*) from (select {promised}) as burst where {owed}") == [(2160,)]
    steer(source, "labels", "off")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert source.count("cargo_label_due") > 2000
    source.query("update cargo_label_due set due_at = now()")
    source.start("--rate", "0.003")
    wait_until(lambda: source.count("cargo_label_due") == 0, "every label is delivered", timeout_s=WAIT_TIMEOUT_S)
    truth = "nullif(substring(image_path from '([0-9]+)')::int % 10, 0) % 5"
    burst = f"select * from cargo where id > {BULK} order by id limit 2400"
    assert (
        source.query(f"select image_path, target from ({burst}) as burst where target is distinct from {truth}") == []
    )


def test_a_late_label_comes_by_itself(source: Source) -> None:
    source.start("--rate", "20")
    steer(source, "labels", "late 1")
    first = newest(source)
    rows_after(source, first)
    wait_until(
        lambda: source.query(f"select 1 from cargo where id > {first} and target is not null limit 1"),
        "a label",
        timeout_s=WAIT_TIMEOUT_S,
    )


def test_without_a_rate_nothing_is_taken_up(source: Source) -> None:
    requested(source, "pause")
    source.run("--rate", "0", "--burst", "10")
    assert source.count() == BULK + 10
    assert source.query("select state from generator_command") == [("pending",)]


def command_line(source: Source, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "steer_generator.py", *arguments],
        cwd=REPOSITORY / "data_generate",
        env={**source.environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_line_waits_for_the_answer(source: Source) -> None:
    source.start("--rate", "0.003")
    done = command_line(source, "labels", "late", "90", "--reason", "to see it")
    assert (done.returncode, done.stdout) == (0, "from now on: 0.003 rows/s, monday=1, labels 90 s late\n"), done.stderr
    refused = command_line(source, "rate", "0")
    assert refused.returncode == 1
    assert "more than 0 and at most 100000" in refused.stderr
    assert source.query("select command, argument, reason from generator_command order by id") == [
        ("labels", "late 90", "to see it"),
        ("rate", "0", ""),
    ]
    assert command_line(source, "halt").returncode == 2


def test_the_command_line_says_when_there_is_nobody(source: Source) -> None:
    done = command_line(source, "pause")
    assert done.returncode == 1
    assert "no generator has taken command 1 up" in done.stderr
    source.query("drop table generator_command")
    done = command_line(source, "pause")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "Start the generator once" in done.stderr


def test_the_generators_role_may_do_its_work_and_nothing_else(stack: Stack, tmp_path: Path) -> None:
    """On the other database: there the owner may make roles."""
    with source_of_its_own(stack.target_url, tmp_path) as owner:
        roles = [Role(name, "secret") for name in ("generatoruser", "cdcuser", "traineruser")]
        with closing(connect(owner.url, "test")) as connection:
            apply_schema(connection, SCHEMA)
            apply_schema(connection, SCHEMA.with_name("iris_schema.sql"))
            apply_roles(connection, roles, SCHEMA.with_name("roles.sql"))
        try:
            (schema,) = owner.query("select current_schema")[0]
            owner.query(f"grant usage on schema {schema} to generatoruser")
            address = urlsplit(owner.url)
            url = address._replace(netloc=f"generatoruser:secret@{address.hostname}:{address.port}").geturl()
            owner.environment["DATA_GENERATE_SOURCE_DATABASE_URL"] = url
            number = requested(owner, "labels", "late 1")
            owner.start("--rate", "50")
            assert answer(owner, number).state is State.applied
            assert "more than 0" in refusal(owner, "rate", "0")
            wait_until(
                lambda: owner.query(f"select 1 from cargo where id > {BULK} and target is not null limit 1"),
                "a late label",
                timeout_s=WAIT_TIMEOUT_S,
            )
            forbidden = (
                "delete from cargo",
                "update cargo set image_path = 'x'",
                "insert into generator_command (command) values ('pause')",
                "update generator_command set command = 'pause'",
                "delete from generator_command",
                "update cargo_label_due set target = 1",
                "truncate cargo_label_due",
            )
            for statement in forbidden:
                with (
                    closing(psycopg2.connect(url)) as connection,
                    connection.cursor() as cursor,
                    pytest.raises(InsufficientPrivilege),
                ):
                    cursor.execute(statement)
        finally:
            owner.query("drop publication if exists dbz_cargo")
