import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from data_prepare.image_list import app
from tests.data_prepare.conftest import RunCommand


def listed(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def root(photographs: Path) -> Path:
    """Holds monday and tuesday, and a file that is neither."""
    shutil.copytree(photographs, photographs.parent / "tuesday")
    (photographs.parent / "README.md").write_text("data")
    (photographs / "notes.txt").write_text("data")
    return photographs.parent


def test_classes_are_numbered_in_the_order_of_their_names(run_command: RunCommand, root: Path) -> None:
    assert run_command(app, "--root", root, "--output", root / "lists").code == 0
    expected = [
        {"image_path": f"{name}/{name}_{number}.jpg", "target": target}
        for target, name in enumerate(("brick", "wood"))
        for number in range(3)
    ]
    assert listed(root / "lists" / "monday.json") == expected
    assert listed(root / "lists" / "tuesday.json") == expected
    assert {path.name for path in (root / "lists").iterdir()} == {"monday.json", "tuesday.json"}


def test_only_what_is_there_is_listed(run_command: RunCommand, root: Path) -> None:
    shutil.rmtree(root / "tuesday")
    assert run_command(app, "--root", root, "--output", root / "lists").code == 0
    assert {path.name for path in (root / "lists").iterdir()} == {"monday.json"}


def test_a_data_set_may_be_a_link_and_have_any_name(run_command: RunCommand, root: Path) -> None:
    (root / "own").symlink_to(root / "tuesday")
    assert run_command(app, "--root", root, "--output", root / "lists", "--dataset", "own").code == 0
    assert len(listed(root / "lists" / "own.json")) == 6


def test_differing_classes_are_named_and_old_manifests_stay(run_command: RunCommand, root: Path) -> None:
    run_command(app, "--root", root, "--output", root / "lists")
    (root / "tuesday" / "asphalt").mkdir()
    Image.new("RGB", (4, 4)).save(root / "tuesday" / "asphalt" / "asphalt_0.jpg")
    (root / "monday" / "brick" / "brick_0.jpg").unlink()
    for arguments in ((), ("--dataset", "tuesday")):
        outcome = run_command(app, "--root", root, "--output", root / "lists", *arguments)
        assert (outcome.code, outcome.errors.count("\n")) == (1, 0)
        assert "asphalt" in outcome.errors
        assert "brick" not in outcome.errors
    assert len(listed(root / "lists" / "monday.json")) == 6


def test_bad_roots_are_one_line(run_command: RunCommand, root: Path) -> None:
    (root / "flat" / "monday").mkdir(parents=True)
    (root / "hollow" / "monday" / "brick").mkdir(parents=True)
    long = root / "long" / "monday" / ("c" * 120)
    long.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(long / ("f" * 140 + ".png"))
    for folder, says in (
        ("missing", "holds neither monday nor tuesday"),
        ("flat", "no class folders"),
        ("hollow", "brick holds no images"),
        ("long", "longer than 255"),
    ):
        outcome = run_command(app, "--root", root / folder, "--output", root / "lists")
        assert (outcome.code, outcome.errors.count("\n")) == (1, 0), outcome
        assert says in outcome.errors
    outcome = run_command(app, "--root", root, "--dataset", "sunday", "--output", root / "lists")
    assert outcome.code == 1
    assert "sunday" in outcome.errors
    assert not (root / "lists").exists()


def test_a_manifest_that_says_the_same_is_left_alone(run_command: RunCommand, root: Path) -> None:
    """Two stacks of one checkout may list at the same time."""
    manifest = root / "lists" / "monday.json"
    assert run_command(app, "--root", root, "--output", root / "lists").code == 0
    before = manifest.stat()
    assert run_command(app, "--root", root, "--output", root / "lists").code == 0
    assert (manifest.stat().st_ino, manifest.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    (root / "monday" / "wood" / "wood_0.jpg").unlink()
    assert run_command(app, "--root", root, "--output", root / "lists").code == 0
    assert len(listed(manifest)) == 5
