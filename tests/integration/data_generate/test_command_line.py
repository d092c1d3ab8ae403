"""The command line that steers a running generator, and what its role may do."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege

from common.migrations import migrate
from common.paths import REPOSITORY
from common.postgres import Role, apply_roles, connect
from common.waiting import wait_until
from data_generate.control.commands import State
from data_generate.streaming import source_tables
from tests.conftest import Stack
from tests.integration.data_generate.conftest import answer, refusal, requested
from tests.integration.data_generate.generators import BULK, Source, source_of_its_own
from tests.timeouts import WAIT_TIMEOUT_S


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
        migrate(owner.url, source_tables.SCHEMA, "test")
        with closing(connect(owner.url, "test")) as connection:
            apply_roles(connection, roles, REPOSITORY / "data_generate" / "roles.sql")
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
