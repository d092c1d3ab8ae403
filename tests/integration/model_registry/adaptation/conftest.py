"""A model of its own with alarms and rows to adapt to, in the registry and the databases of the running stack."""

import json
import os
import random
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from common.pictures.embeddings import pack
from common.waiting import wait_until
from model_registry.adaptation.next_alarm import next_alarm
from model_registry.data.content_hash import content_hash
from model_registry.network.embedding_source import EmbeddingSource, embedding_method
from model_registry.settings import Settings
from model_registry.versions.champion_lookup import Champion
from model_registry.versions.promotion import promote
from model_registry.versions.registry_client import Registry, connect
from tests.conftest import Stack
from tests.integration.target_tables import target_tables
from tests.timeouts import WAIT_TIMEOUT_S

Row = dict[str, Any]


IMAGES = 300


AT_ONCE = {
    "MODEL_REGISTRY_ADAPT_CONFIRM_S": "0",
    "MODEL_REGISTRY_ADAPT_COOL_DOWN_S": "0",
    "MODEL_REGISTRY_ADAPT_IMAGES": str(IMAGES),
}


@pytest.fixture(scope="session")
def registry(stack: Stack) -> Registry:
    """A registered model with one version, the champion."""
    name = f"adaptation_test_{uuid.uuid4().hex[:8]}"
    command = [sys.executable, "-m", "model_registry.save_model_to_registry", "--model-name", name, "--seed", "3"]
    subprocess.run(command, check=True, capture_output=True)
    return connect(stack.mlflow_uri, name, timeout_s=WAIT_TIMEOUT_S)


class Database:
    """Tables of its own in the target database, as the adapter's own role sees them."""

    def __init__(self, stack: Stack, connection: Connection, schema: str) -> None:
        self._connection = connection
        server = stack.target_url.rpartition("@")[2]
        self.url = f"postgresql://adapteruser:adapterpassword@{server}?options=-csearch_path%3D{schema}"

    def all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def insert_rows(self, images: list[Row], first_id: int = 1) -> None:
        """Predictions of tuesday's images, labelled."""
        rows = [(first_id + number, image["image_path"], image["target"]) for number, image in enumerate(images)]
        with self._connection.cursor() as cursor:
            # All at once: a run that looks meanwhile sees none of them or all.
            execute_values(
                cursor,
                "insert into cargo_prediction"
                " (id, timestamp, dataset, image_path, target, label, confidence, model_version) values %s",
                rows,
                "(%s, now(), 'tuesday', %s, 0, %s, 0.5, '1')",
                page_size=len(rows) + 1,
            )

    def insert_embeddings(self, root: Path, images: list[Row], cache: Path) -> None:
        """What the API stores beside these predictions."""
        files = [root / "tuesday" / image["image_path"] for image in images]
        for row_id, (file, vector) in enumerate(
            zip(files, EmbeddingSource(cache, content_hash).of(files), strict=True), start=1
        ):
            self.all(
                "insert into cargo_prediction_embedding (id, content, method, embedding) values (%s, %s, %s, %s)",
                *(row_id, content_hash(file), embedding_method(), pack(vector)),
            )

    def insert_alarm(self, detector: str = "confidence", version: str = "1", first_id: int = 1) -> int:
        inserted = self.all(
            "insert into drift_alarm (detector, model_version, first_id, last_id, score, threshold)"
            " values (%s, %s, %s, 100, 0.3, 0.1) returning id",
            *(detector, version, first_id),
        )
        return int(inserted[0][0])

    def run(self, alarm: int) -> Row | None:
        names = (
            "state, attempts, champion_version, challenger_version, strategy, images, wanted, steps, reason, gate, "
            "finished_at"
        )
        rows = self.all(f"select {names} from adaptation where alarm_id = %s", alarm)
        return dict(zip(names.split(", "), rows[0], strict=True)) if rows else None

    def wait_for(self, alarm: int, *states: str, timeout_s: float = WAIT_TIMEOUT_S) -> Row:
        def there() -> Row | None:
            run = self.run(alarm)
            return run if run and run["state"] in states else None

        return wait_until(there, f"run for alarm {alarm} is {' or '.join(states)}", timeout_s)

    def wait_for_attempt(self, alarm: int, number: int) -> None:
        wait_until(
            lambda: (self.run(alarm) or {}).get("attempts") == number,
            f"attempt {number} at alarm {alarm}",
            WAIT_TIMEOUT_S,
        )


@pytest.fixture
def tables(stack: Stack) -> Iterator[Database]:
    """Empty tables."""
    with target_tables(stack, "adapteruser") as schema, stack.target() as connection, connection.cursor() as cursor:
        cursor.execute(f"set search_path = {schema}")
        yield Database(stack, connection, schema)


@pytest.fixture
def database(registry: Registry, tables: Database) -> Database:
    """Empty tables, while version 1 is the champion."""
    promote(registry, "1", "test", "as before")
    return tables


@pytest.fixture(scope="module")
def images(stack: Stack) -> list[Row]:
    """Half of tuesday's images with their classes."""
    rows = [json.loads(line) for line in (stack.manifests / "tuesday.json").read_text().splitlines()]
    return random.Random(0).sample(rows, IMAGES)


def environment(database: Database, **variables: str) -> dict[str, str]:
    return os.environ | AT_ONCE | {"MODEL_REGISTRY_TARGET_DATABASE_URL": database.url} | variables


def adapt(database: Database, registry: Registry, alarm: int, **variables: str) -> subprocess.CompletedProcess[str]:
    """One run by hand, to its end."""
    command = [sys.executable, "-m", "model_registry.adapt", "--alarm", str(alarm), "--model-name", registry.model_name]
    return subprocess.run(
        command,
        env=environment(database, **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_TIMEOUT_S,
    )


@contextmanager
def adapter(
    database: Database, registry: Registry, log: Path, variables: dict[str, str] | None = None
) -> Iterator[int]:
    """The service, stopped at the end; yields its process id."""
    command = [sys.executable, "-m", "model_registry.adapter", "--model-name", registry.model_name]
    with socket.create_server(("127.0.0.1", 0)) as free:
        changes = (variables or {}) | {"MODEL_REGISTRY_ADAPTER_HEALTH_PORT": str(free.getsockname()[1])}
    with log.open("a") as output:
        process = subprocess.Popen(command, env=environment(database, **changes), stderr=output, stdout=output)
        try:
            yield process.pid
        finally:
            process.terminate()
            assert process.wait(WAIT_TIMEOUT_S) == 0, log.read_text()


def run_process(adapter_pid: int) -> psutil.Process:
    """The run that an adapter has started."""
    children = wait_until(lambda: psutil.Process(adapter_pid).children(), "a run is started", timeout_s=WAIT_TIMEOUT_S)
    return children[0]


def champion(registry: Registry) -> str:
    version = registry.champion()
    assert version is not None
    return str(version.version)


class AlarmSelection:
    """What an adapter would do next."""

    def __init__(self, database: Database, settings: Settings, connection: Connection) -> None:
        self.database, self._settings, self.connection = database, settings, connection
        self.champion = Champion("1", None)

    def due(self, **changes: float) -> int | None:
        return next_alarm(self.connection, self.champion, self._settings.model_copy(update=changes))

    def age(self, table: str, column: str, seconds: float) -> None:
        self.database.all(f"update {table} set {column} = {column} - make_interval(secs => %s)", seconds)


@pytest.fixture
def alarm_selection(tables: Database) -> Iterator[AlarmSelection]:
    settings = Settings(adapt_confirm_s=15, adapt_cool_down_s=300)
    with closing(psycopg2.connect(tables.url)) as connection:
        connection.autocommit = True
        yield AlarmSelection(tables, settings, connection)
