"""The generator against the real source database, in a schema of its own."""

import select
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from common.migrations import migrate
from common.waiting import wait_until
from data_generate.streaming import source_tables
from tests.conftest import Stack
from tests.integration.data_generate.generators import BULK, Source, source_of_its_own
from tests.timeouts import WAIT_TIMEOUT_S


@pytest.fixture
def source(stack: Stack, tmp_path: Path) -> Iterator[Source]:
    with source_of_its_own(stack.source_url, tmp_path) as source:
        yield source


def test_bulk_load_happens_once_and_a_restart_goes_on(source: Source) -> None:
    source.run("--rate", "500", "--count", "50")
    assert source.count() == BULK + 50
    assert source.query("select dataset, rows from cargo_load") == [("monday", BULK)]
    source.run("--rate", "500", "--count", "50", "--dataset", "tuesday")
    assert source.query("select dataset, count(*) from cargo group by 1 order by 1") == [
        ("monday", BULK + 50),
        ("tuesday", 50),
    ]
    # Tabs, backslashes and missing labels came through COPY as they are in the manifest.
    assert source.query("select image_path, target from cargo where id in (1, 2) order by id") == [
        ("wood/tab\t0.jpg", None),
        ("wood/tab\t1.jpg", 1),
    ]


def test_two_generators_at_once_load_once(source: Source) -> None:
    both = [source.start("--rate", "0") for _ in range(2)]
    for process in both:
        _, log = process.communicate(timeout=WAIT_TIMEOUT_S)
        assert process.returncode == 0, log
    assert source.count() == BULK


def test_publication_holds_the_table(stack: Stack) -> None:
    with stack.source() as connection, connection.cursor() as cursor:
        cursor.execute("select schemaname, tablename from pg_publication_tables where pubname = 'dbz_cargo'")
        assert set(cursor.fetchall()) == {("public", "cargo"), ("public", "dbz_heartbeat")}


def test_every_column_has_its_type_and_default(source: Source) -> None:
    source.run("--rate", "0")
    columns = source.query(
        "select column_name, data_type, is_nullable, is_identity from information_schema.columns"
        " where table_name = 'cargo' and table_schema = current_schema order by ordinal_position"
    )
    assert columns == [
        ("id", "bigint", "NO", "YES"),
        ("timestamp", "timestamp with time zone", "NO", "NO"),
        ("dataset", "text", "NO", "NO"),
        ("image_path", "character varying", "NO", "NO"),
        ("target", "integer", "YES", "NO"),
    ]
    inserted = source.query("insert into cargo (image_path) values ('wood/a.jpg') returning dataset, target")
    assert inserted == [("monday", None)]


def test_iris_fills_the_tutorials_table(source: Source) -> None:
    source.run("--table", "iris", "--rate", "0", "--burst", "3000", "--seed", "1")
    assert source.count("iris_data") == 3000
    sums = source.query(
        'select min("petal width (cm)"), max("sepal length (cm)"), count(distinct target) from iris_data'
    )
    assert sums == [(0.1, 7.9, 3)]


def test_a_killed_database_costs_no_row_and_doubles_none(stack: Stack, source: Source) -> None:
    generator = source.start("--rate", "1000", "--count", "6000")
    for rows in (1000, 3000):
        wait_until(lambda rows=rows: _at_least(source, BULK + rows), f"{rows} rows", timeout_s=WAIT_TIMEOUT_S)  # type: ignore[misc]
        stack.kill("source-postgres")
        stack.wait_ready("source-postgres")
    _, log = generator.communicate(timeout=WAIT_TIMEOUT_S)
    assert generator.returncode == 0, log
    assert source.count() == BULK + 6000


def _at_least(source: Source, rows: int) -> bool:
    try:
        return source.count() >= rows
    except psycopg2.Error:
        return False


class CommitCutter(threading.Thread):
    """Stands between client and server; of the given commits (1 = first) it lets the work through, not the answer."""

    def __init__(self, host: str, port: int, cut: set[int]) -> None:
        super().__init__(daemon=True)
        self._server, self._cut, self._commits = (host, port), cut, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def run(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            self._serve(client, server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            readable, _, _ = select.select([client, server], [], [])
            for end, other in ((client, server), (server, client)):
                if end not in readable:
                    continue
                if not (data := end.recv(65536)):
                    return
                other.sendall(data)
                if end is client and data == b"Q\x00\x00\x00\x0bCOMMIT\x00":
                    self._commits += 1
                    if self._commits in self._cut:
                        assert server.recv(65536)  # It is committed now.
                        return


# Commit 1 is the publication's, 2 a question, 3 the bulk load's, 4 a look for commands; then come ids and rows in turn.
@pytest.mark.parametrize("cut", [{2}, {3}, {4}, {5}, {6}, {6, 8, 10}, set(range(2, 10))])
def test_a_commit_whose_answer_is_lost_is_not_repeated(source: Source, cut: set[int]) -> None:
    address = urlsplit(source.url)
    assert address.hostname
    migrate(source.url, source_tables.SCHEMA, "test")
    cutter = CommitCutter(address.hostname, address.port or 5432, cut)
    cutter.start()
    source.environment["DATA_GENERATE_SOURCE_DATABASE_URL"] = source.url.replace(
        f":{address.port}/", f":{cutter.port}/"
    )
    log = source.run("--rate", "20", "--count", "5")
    assert "connection" in log
    assert source.count() == BULK + 5


def test_sigterm_ends_it_cleanly(source: Source) -> None:
    generator = source.start("--rate", "0.2")
    wait_until(lambda: _at_least(source, BULK + 1), "the first row", timeout_s=WAIT_TIMEOUT_S)
    generator.send_signal(signal.SIGTERM)
    _, log = generator.communicate(timeout=WAIT_TIMEOUT_S)
    assert generator.returncode == 0, log
    assert "inserted 1 rows" in log
