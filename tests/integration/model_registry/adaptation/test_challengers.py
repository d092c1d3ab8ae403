"""What becomes of a challenger: promoted, rejected, or never trained to its end."""

import shutil
import time
import uuid
from fnmatch import fnmatch
from pathlib import Path

import psutil
import pytest

from common.waiting import wait_until
from model_registry.versions.champion_lookup import Champion, find_champion
from model_registry.versions.promotion import history, promote
from model_registry.versions.registry_client import Registry, run_id_of
from tests.conftest import Stack
from tests.integration.model_registry.adaptation.conftest import (
    IMAGES,
    AlarmSelection,
    Database,
    Row,
    adapt,
    adapter,
    champion,
)


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
