"""From an alarm to a verdict: real databases, registry and training; tables and a registered model of their own."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from common.cli import UserError
from common.paths import REPOSITORY
from common.pictures.embeddings import pack
from common.postgres import apply_schema
from common.settings import local_port
from common.waiting import wait_until
from model_registry.adaptation.adaptation_table import Alarm, Run, adaptation_lock, is_confirmed
from model_registry.adaptation.drifted_rows import read_labelled_rows
from model_registry.adaptation.next_alarm import next_alarm
from model_registry.data.content_hash import content_hash
from model_registry.network.embedding_source import EmbeddingSource, embedding_method
from model_registry.settings import Settings
from model_registry.versions.champion_lookup import Champion, find_champion
from model_registry.versions.promotion import history, promote
from model_registry.versions.registry_client import Registry, connect, run_id_of
from tests.conftest import Stack
from tests.timeouts import WAIT_TIMEOUT_S

Row = dict[str, Any]
IMAGES = 300
AT_ONCE = {
    "MODEL_REGISTRY_ADAPT_CONFIRM_S": "0",
    "MODEL_REGISTRY_ADAPT_COOL_DOWN_S": "0",
    "MODEL_REGISTRY_ADAPT_IMAGES": str(IMAGES),
}


@pytest.fixture(scope="module")
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

    def apply_schema(self) -> None:
        """As at each start of the reconciler."""
        self._connection.autocommit = False
        apply_schema(self._connection, REPOSITORY / "kafka" / "target_schema.sql")
        self._connection.autocommit = True

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
def database(stack: Stack, registry: Registry) -> Iterator[Database]:
    """Empty tables, while version 1 is the champion."""
    promote(registry, "1", "test", "as before")
    schema = f"test_{uuid.uuid4().hex[:8]}"
    with stack.target() as connection, connection.cursor() as cursor:
        cursor.execute(f"create schema {schema}")
        cursor.execute(f"set search_path = {schema}")
        database = Database(stack, connection, schema)
        database.apply_schema()
        cursor.execute(f"set search_path = {schema}; grant usage on schema {schema} to adapteruser")
        roles = (REPOSITORY / "kafka" / "target_roles.sql").read_text()
        cursor.execute("\n".join(line for line in roles.splitlines() if line.endswith("to adapteruser;")))
        yield database
        cursor.execute(f"drop schema {schema} cascade")


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


def test_two_adapters_and_two_alarms_make_one_run_that_promotes(
    registry: Registry, database: Database, images: list[Row], tmp_path: Path
) -> None:
    database.insert_rows(images)
    alarms = [database.insert_alarm("confidence"), database.insert_alarm("accuracy")]
    with (
        adapter(database, registry, tmp_path / "one.log") as first,
        adapter(database, registry, tmp_path / "two.log") as second,
    ):
        run = database.wait_for(alarms[0], "promoted", "rejected", "failed")
        # What is left to do would be begun within a second or two.
        alarm_selection = time.monotonic() + 5
        wait_until(lambda: time.monotonic() > alarm_selection, "five more looks", timeout_s=10)
        for each in (first, second):
            assert psutil.Process(each).memory_info().rss < 80e6
    assert (run["state"], run["attempts"], run["champion_version"]) == ("promoted", 1, "1"), run["reason"]
    assert champion(registry) == run["challenger_version"]
    assert (run["images"], run["strategy"]) == (len(images), "balanced_margin")
    assert 100 <= run["wanted"] <= len(images)
    assert set(run["gate"]["embedded"]) == {"streamed", "cached", "computed"}
    assert run["gate"]["embedded"]["streamed"] == 0
    assert set(run["steps"]) == {"collecting", "training", "registering", "judging"}
    day = run["gate"]["days"]["tuesday"]
    assert day["challenger"] - day["champion"] == pytest.approx(day["gain"])
    assert day["gain"] > 0.05
    assert f"{100 * day['gain']:+.1f} points" in run["reason"]
    assert database.run(alarms[1]) is None, "its version no longer serves"
    assert str(registry.by_alias("previous").version) == "1"
    assert str(registry.by_alias("challenger").version) == run["challenger_version"]
    last = history(registry)[-1]
    assert (last.who, last.from_version, last.to_version) == ("model-adapter", "1", run["challenger_version"])
    assert run["reason"] in last.why
    logs = [(tmp_path / name).read_text() for name in ("one.log", "two.log")]
    assert sum(log.count("collecting took") for log in logs) == 1


def test_nothing_that_the_champion_was_trained_on_is_held_out(registry: Registry, tmp_path: Path) -> None:
    newest = max(registry.versions(), key=lambda version: int(version.version))
    assert run_id_of(newest) != run_id_of(registry.by_number("1")), "the test before this one registers a challenger"
    sides = []
    for name, version in (("old", registry.by_number("1")), ("new", newest)):
        (tmp_path / name).mkdir()
        rows = registry.manifest(version, tmp_path / name)
        sides.append({row.image_path: row.split == "test" for row in rows if row.dataset == "monday"})
        assert {row.split == "test" for row in rows if row.dataset == "tuesday"} == (
            {True, False} if sides[1:] else set()
        )
        for row in rows:
            assert sides[0].get(row.image_path, row.split == "test") == (row.split == "test")
    assert sides[0] == sides[1]


@pytest.mark.parametrize(
    ("variables", "rows", "outcome", "reason"),
    [
        ({"MODEL_REGISTRY_GATE_GAIN": "0.9"}, "*/*", "rejected", "needed +90.0"),
        (
            {"MODEL_REGISTRY_ADAPT_STRATEGY": "tuesday"},
            "[!b]*/*",
            "failed",
            "strategy tuesday leaves no image to train on of background, brick",
        ),
        (
            {"MODEL_REGISTRY_ADAPT_PATIENCE_S": "0"},
            "brick/*",
            "failed",
            "labelled images of 'tuesday' after 0 s; 100 are needed",
        ),
    ],
)
def test_what_does_not_pass_changes_nothing_and_says_why(
    registry: Registry,
    database: Database,
    images: list[Row],
    variables: dict[str, str],
    rows: str,
    outcome: str,
    reason: str,
) -> None:
    database.insert_rows([row for row in images if fnmatch(row["image_path"], rows)])
    alarm = database.insert_alarm()
    moves = history(registry)
    answer = adapt(database, registry, alarm, **variables)
    assert answer.returncode == 0, answer.stderr
    run = database.run(alarm)
    assert run is not None
    assert run["state"] == outcome
    assert reason in run["reason"]
    assert run["finished_at"] is not None
    assert (champion(registry), history(registry)) == ("1", moves)


def test_a_champion_that_changes_meanwhile_is_not_replaced(
    registry: Registry, database: Database, images: list[Row], tmp_path: Path
) -> None:
    other = next(str(version.version) for version in registry.versions() if str(version.version) != "1")
    alarm = database.insert_alarm()
    with adapter(database, registry, tmp_path / "log"):
        database.wait_for(alarm, "collecting")
        promote(registry, other, "somebody", "knows better")
        database.insert_rows(images)
        run = database.wait_for(alarm, "promoted", "rejected", "failed")
    assert run["state"] == "rejected"
    assert f"version {other} became the champion in the meantime" in run["reason"]
    assert champion(registry) == other


@pytest.mark.parametrize("changed", [0, 1])
def test_pictures_that_streamed_are_not_looked_at_again(
    stack: Stack, registry: Registry, database: Database, images: list[Row], tmp_path: Path, changed: int
) -> None:
    """But for one whose file has changed since."""
    root = tmp_path / "images"
    root.mkdir()
    (root / "monday").symlink_to(stack.image_root / "monday")
    shutil.copytree(stack.image_root / "tuesday", root / "tuesday")
    database.insert_rows(images)
    database.insert_embeddings(root, images, tmp_path / "another_cache.sqlite")
    with (file := root / "tuesday" / images[0]["image_path"]).open("ab") as end:
        end.write(uuid.uuid4().bytes * changed)
    alarm = database.insert_alarm()
    answer = adapt(database, registry, alarm, MODEL_REGISTRY_IMAGE_ROOT=str(root))
    run = database.run(alarm)
    assert run is not None
    assert run["state"] == "promoted", run["reason"]
    embedded = run["gate"]["embedded"]
    assert (embedded["streamed"], embedded["computed"]) == (IMAGES - changed, changed)
    monday = f"{embedded['cached']} from the cache"
    assert f"embeddings: {IMAGES - changed} from the stream, {monday}, {changed} computed" in answer.stderr
    assert answer.stderr.count(f"{file} has changed since it streamed") == changed


def test_an_alarm_that_is_over_soon_starts_no_training(registry: Registry, database: Database, tmp_path: Path) -> None:
    alarm = database.insert_alarm()
    command = [sys.executable, "-m", "model_registry.adapt", "--alarm", str(alarm), "--model-name", registry.model_name]
    log = tmp_path / "log"
    with log.open("w") as output:
        run = subprocess.Popen(
            command, env=environment(database, MODEL_REGISTRY_ADAPT_CONFIRM_S="86400"), stderr=output, stdout=output
        )
    try:
        wait_until(lambda: f"ready; alarm {alarm} must last" in log.read_text(), "the run is ready", WAIT_TIMEOUT_S)
        database.all("update drift_alarm set ended_at = now(), end_reason = 'over'")
        assert run.wait(60) == 0, log.read_text()
    finally:
        run.kill()
        run.wait()
    assert f"alarm {alarm} is over already" in log.read_text()
    assert database.run(alarm) is None


def test_a_run_that_is_killed_is_tried_again(registry: Registry, database: Database, tmp_path: Path) -> None:
    alarm = database.insert_alarm()
    with adapter(database, registry, tmp_path / "log") as pid:
        database.wait_for(alarm, "collecting")
        child = run_process(pid)
        assert child.nice() == 10, "it gives way to those that serve"
        child.send_signal(signal.SIGKILL)
        database.wait_for_attempt(alarm, 2)
        assert run_process(pid).pid != child.pid
    assert champion(registry) == "1"


def test_an_object_store_that_is_away_is_waited_for(
    stack: Stack, registry: Registry, database: Database, images: list[Row], tmp_path: Path
) -> None:
    alarm = database.insert_alarm()
    with adapter(database, registry, tmp_path / "log"):
        database.wait_for(alarm, "collecting")
        stack.stop("object-store")
        try:
            database.insert_rows(images)
            wait_until(lambda: (database.run(alarm) or {}).get("reason"), "the run says what is away", WAIT_TIMEOUT_S)
            run = database.run(alarm) or {}
            assert run["reason"].startswith("MLflow could not do it")
            assert run["finished_at"] is None
            assert champion(registry) == "1", "registered models are in the database"
        finally:
            stack.start("object-store")
            stack.wait_ready("object-store")
        database.wait_for_attempt(alarm, 2)


def test_a_stop_ends_the_run_and_a_start_goes_on(registry: Registry, database: Database, tmp_path: Path) -> None:
    alarm = database.insert_alarm()
    with adapter(database, registry, tmp_path / "log") as pid:
        database.wait_for(alarm, "collecting")
        child = run_process(pid)
    assert not child.is_running()
    run = database.run(alarm)
    assert run is not None
    assert (run["attempts"], run["reason"], run["finished_at"]) == (0, "stopped", None)
    with adapter(database, registry, tmp_path / "log"):
        database.wait_for_attempt(alarm, 1)


def test_only_one_run_at_a_time(registry: Registry, database: Database) -> None:
    alarm = database.insert_alarm()
    with closing(psycopg2.connect(database.url)) as other, adaptation_lock(other, registry.model_name) as alone:
        assert alone
        answer = adapt(database, registry, alarm)
    assert answer.returncode == 1
    assert f"another run adapts {registry.model_name} right now" in answer.stderr
    assert database.run(alarm) is None


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
def alarm_selection(database: Database) -> Iterator[AlarmSelection]:
    settings = Settings(adapt_confirm_s=15, adapt_cool_down_s=300)
    with closing(psycopg2.connect(database.url)) as connection:
        connection.autocommit = True
        yield AlarmSelection(database, settings, connection)


def test_a_run_is_begun_some_seconds_before_its_alarm_is_confirmed(alarm_selection: AlarmSelection) -> None:
    assert alarm_selection.due() is None
    alarm = alarm_selection.database.insert_alarm()
    alarm_selection.database.insert_alarm("accuracy")
    assert alarm_selection.due(adapt_confirm_s=86400) is None
    assert alarm_selection.due(adapt_confirm_s=0) == alarm, "the oldest"
    alarm_selection.age("drift_alarm", "began_at", 6)
    assert alarm_selection.due() == alarm
    alarm_selection.champion = Champion("2", None)
    assert alarm_selection.due() is None, "it is about another version"
    alarm_selection.champion = Champion("1", None)
    alarm_selection.database.all("update drift_alarm set ended_at = now(), end_reason = 'over'")
    assert alarm_selection.due() is None


def test_an_alarm_lasts_or_is_over(alarm_selection: AlarmSelection) -> None:
    alarm = alarm_selection.database.insert_alarm()
    assert is_confirmed(alarm_selection.connection, alarm, 3600) is None
    assert is_confirmed(alarm_selection.connection, alarm, 0) is True
    alarm_selection.database.all("update drift_alarm set ended_at = began_at + interval '10 s', end_reason = 'over'")
    assert is_confirmed(alarm_selection.connection, alarm, 11) is False
    assert is_confirmed(alarm_selection.connection, alarm, 9) is True, "it was confirmed when it ended"


def test_the_rows_of_an_alarm_are_looked_at(alarm_selection: AlarmSelection, images: list[Row]) -> None:
    alarm = Alarm(1, "1", first_id=11)
    alarm_selection.database.insert_rows(images[:30])
    alarm_selection.database.insert_rows(images[:30], first_id=31)
    alarm_selection.database.insert_rows(images[:7], first_id=61)
    alarm_selection.database.all("update cargo_prediction set dataset = 'monday' where id in (12, 67)")
    alarm_selection.database.all("update cargo_prediction set label = null where id = 13")
    alarm_selection.database.all("update cargo_prediction set target = label where id = any(%s)", [20, 21, 22])
    alarm_selection.database.all("update cargo_prediction set target = label, model_version = '2' where id > 60")
    there = read_labelled_rows(alarm_selection.connection, alarm, at_most=100)
    paths = [image["image_path"] for image in images[:30]]
    assert [image.image_path for image in there.images] == sorted(paths)
    # Images 12 and 13 do not count in rows 12 and 13: they are new in rows 42 and 43. Rows 44 to 66 show no other.
    assert there.rows_since_new == 23
    of_version_1 = [*range(14, 61), 11]
    right = sum(images[(row - 1) % 30]["target"] == 0 or row in {20, 21, 22} for row in of_version_1)
    assert there.accuracy == pytest.approx(right / len(of_version_1))
    few = read_labelled_rows(alarm_selection.connection, alarm, at_most=5)
    assert [image.image_path for image in few.images] == sorted(paths[place] for place in (10, 13, 14, 15, 16))


def test_columns_are_added_to_a_table_that_has_rows(alarm_selection: AlarmSelection) -> None:
    database = alarm_selection.database
    alarm = database.insert_alarm()
    Run(alarm_selection.connection, alarm).begin("1", "balanced_margin")
    database.all("alter table adaptation drop column steps, drop column wanted")
    database.apply_schema()
    run = database.run(alarm)
    assert run is not None
    assert (run["steps"], run["wanted"]) == ({}, None)


def test_after_a_run_there_is_a_pause_and_never_a_second_one_for_its_alarm(alarm_selection: AlarmSelection) -> None:
    alarms = [alarm_selection.database.insert_alarm(), alarm_selection.database.insert_alarm("accuracy")]
    alarm_selection.age("drift_alarm", "began_at", 6)
    run = Run(alarm_selection.connection, alarms[0])
    run.begin("1", "balanced_margin")
    run.finish("rejected", "no better")
    with pytest.raises(UserError, match=f"alarm {alarms[0]} was answered by a run already"):
        run.begin("1", "balanced_margin")
    assert alarm_selection.due() is None
    alarm_selection.age("adaptation", "finished_at", 301)
    assert alarm_selection.due() == alarms[1]


def test_after_a_move_of_the_champion_there_is_a_pause(
    alarm_selection: AlarmSelection, registry: Registry, stack: Stack
) -> None:
    alarm = alarm_selection.database.insert_alarm()
    alarm_selection.age("drift_alarm", "began_at", 6)
    found = find_champion(stack.mlflow_uri, registry.model_name)
    assert found is not None
    assert found.promoted_at == (history(registry)[-1].when if len(history(registry)) > 1 else None)
    alarm_selection.champion = Champion("1", history(registry)[-1].when)
    assert alarm_selection.due(adapt_cool_down_s=10**6) is None
    assert alarm_selection.due(adapt_cool_down_s=0) == alarm


def test_a_run_that_was_cut_off_three_times_is_given_up(alarm_selection: AlarmSelection) -> None:
    alarm = alarm_selection.database.insert_alarm()
    run = Run(alarm_selection.connection, alarm)
    for attempt in range(3):
        assert attempt == 0 or alarm_selection.due() == alarm
        run.begin("1", "balanced_margin")
        run.record_interruption("the store is away")
        alarm_selection.age("adaptation", "updated_at", 11)
    assert alarm_selection.due() is None
    given_up = alarm_selection.database.run(alarm) or {}
    assert given_up["state"] == "failed"
    assert given_up["reason"].startswith("the run was interrupted 3 times (before: the store is away)")


def test_a_run_that_lies_still_is_settled_or_tried_again(alarm_selection: AlarmSelection) -> None:
    alarm = alarm_selection.database.insert_alarm()
    run = Run(alarm_selection.connection, alarm)
    run.begin("1", "balanced_margin")
    assert alarm_selection.due() is None, "it was alive a moment ago"
    alarm_selection.age("adaptation", "updated_at", 11)
    assert alarm_selection.due() == alarm, "with no regard to a pause"
    run.judging("2")
    alarm_selection.champion = Champion("2", None)
    assert alarm_selection.due() is None
    assert (alarm_selection.database.run(alarm) or {})["state"] == "promoted", (
        "cut off between the move and the note of it"
    )


def test_the_port_is_the_documented_one() -> None:
    assert Settings().adapter_health_port == local_port(9106)
