"""Generators as processes, on tables of their own in a schema of their own."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from common.paths import REPOSITORY
from tests.timeouts import WAIT_TIMEOUT_S

BULK = 300


@dataclass
class Source:
    """A schema in a database, and generators that write to it."""

    url: str
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "data_generate.data_generator", *arguments]
        process = subprocess.Popen(command, cwd=REPOSITORY, env=self.environment, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> str:
        process = self.start(*arguments)
        _, log = process.communicate(timeout=WAIT_TIMEOUT_S)
        assert process.returncode == 0, log
        return log

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with closing(psycopg2.connect(self.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str = "cargo") -> int:
        return int(str(self.query(f"select count(*) from {table}")[0][0]))


@contextmanager
def source_of_its_own(database_url: str, manifests: Path) -> Iterator[Source]:
    """Manifests of `BULK` images for monday and tuesday, every tenth image without a label."""
    schema = f"generator_{uuid.uuid4().hex}"
    _execute(database_url, f"create schema {schema}")
    lines = [f'{{"image_path": "wood/tab\\t{n}.jpg", "target": {n % 5 if n % 10 else "null"}}}\n' for n in range(BULK)]
    for name in ("monday", "tuesday"):
        (manifests / f"{name}.json").write_text("".join(lines).replace("\t", "\\t"))
    url = f"{database_url}?options=-csearch_path%3D{schema}"
    environment = {
        **os.environ,
        "DATA_GENERATE_SOURCE_DATABASE_URL": url,
        "DATA_GENERATE_MANIFEST_DIR": str(manifests),
        "DATA_GENERATE_HEALTH_PORT": "0",
    }
    source = Source(url, environment)
    try:
        yield source
    finally:
        for process in source.started:
            process.kill()
            process.communicate()
        _execute(database_url, f"drop schema {schema} cascade")


def _execute(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
