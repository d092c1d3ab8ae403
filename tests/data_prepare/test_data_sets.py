"""Monday, tuesday and manifests in one go."""

import json
import shutil
from pathlib import Path

import pytest

from common.cli import UserError
from data_prepare.data_sets import main, names
from data_prepare.sample_images import main as render


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    render(folder, per_class=2, side=64, workers=1)
    return folder


@pytest.fixture
def root(rendered: Path, tmp_path: Path) -> Path:
    """A folder with a `monday` of its own."""
    shutil.copytree(rendered, tmp_path / "monday")
    return tmp_path


def manifest(root: Path, dataset: str) -> list[str]:
    return [json.loads(line)["image_path"] for line in (root / f"{dataset}.json").read_text().splitlines()]


def test_tuesday_has_the_same_names_and_both_are_listed(root: Path) -> None:
    main(root, root, render=False, workers=1)
    assert len(names(root / "monday")) == 10
    assert names(root / "tuesday") == names(root / "monday")
    assert set(manifest(root, "monday")) == set(manifest(root, "tuesday")) == names(root / "monday")


def test_what_is_there_is_kept(root: Path) -> None:
    main(root, root, render=False, workers=1)
    picture = root / "tuesday" / "wood" / "wood_0.jpg"
    written = picture.stat().st_mtime_ns
    main(root, root, render=False, workers=1)
    assert picture.stat().st_mtime_ns == written


def test_an_own_tuesday_is_not_touched(root: Path) -> None:
    (root / "monday").rename(root / "tuesday")
    render(root / "monday", per_class=3, side=64, workers=1)
    before = names(root / "tuesday")
    main(root, root, render=False, corrupt=False, workers=1)
    assert names(root / "tuesday") == before
    assert set(manifest(root, "tuesday")) == before


def test_no_images_of_ones_own_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="MONDAY_DIR"):
        main(tmp_path, tmp_path, render=False)
