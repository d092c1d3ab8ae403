from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common.images import open_image
from data_prepare.rendering.scene import MATERIALS, render
from data_prepare.sample_images import app
from tests.data_prepare.conftest import RunCommand

PER_CLASS = 16


@pytest.fixture(scope="module")
def mean_colours() -> tuple[list[np.ndarray], list[str]]:
    """Mean RGB and class of small renderings; the mean does not depend on the resolution."""
    colours, labels = [], []
    for number, material in enumerate(MATERIALS):
        for picture in range(PER_CLASS):
            rng = np.random.default_rng([number, picture])
            colours.append(np.asarray(open_image(render(material, 64, rng))).mean(axis=(0, 1)))
            labels.append(material)
    return colours, labels


def test_mean_colour_does_not_give_the_class_away(mean_colours: tuple[list[np.ndarray], list[str]]) -> None:
    classifier = make_pipeline(StandardScaler(), LogisticRegression())
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert cross_val_score(classifier, *mean_colours, cv=folds).mean() < 0.6


def test_pictures_differ_in_colour_and_light(mean_colours: tuple[list[np.ndarray], list[str]]) -> None:
    colours, labels = mean_colours
    for material in MATERIALS:
        own = np.array([colour for colour, label in zip(colours, labels, strict=True) if label == material])
        assert own.mean(axis=1).std() > 15, "brightness"
        assert (own[:, 0] - own[:, 2]).std() > 10, "red against blue"


@pytest.mark.parametrize("material", MATERIALS)
def test_the_same_seed_gives_the_same_bytes(material: str) -> None:
    first, again, other = (render(material, 96, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert open_image(first).size == (96, 96)


def test_the_command_renders_the_five_classes_the_same_for_any_number_of_workers(
    run_command: RunCommand, tmp_path: Path
) -> None:
    for workers in (1, 2):
        arguments = ("-o", tmp_path / str(workers), "--per-class", 1, "--side", 48, "--workers", workers)
        assert run_command(app, *arguments).code == 0
    names = {path.relative_to(tmp_path / "1").as_posix() for path in (tmp_path / "1").rglob("*.*")}
    assert names == {f"{name}/{name}_0.jpg" for name in ("background", "brick", "concrete", "ground", "wood")}
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_second_run_keeps_what_is_there_and_adds_what_is_missing(run_command: RunCommand, tmp_path: Path) -> None:
    arguments = ("-o", tmp_path, "--per-class", 1, "--side", 48, "--workers", 1)
    run_command(app, *arguments)
    kept, lost = tmp_path / "wood" / "wood_0.jpg", tmp_path / "brick" / "brick_0.jpg"
    expected = lost.read_bytes()
    kept.write_bytes(b"the user's own")
    lost.unlink()
    assert "1 pictures rendered, 4 kept" in run_command(app, *arguments).output
    assert kept.read_bytes() == b"the user's own"
    assert lost.read_bytes() == expected


def test_a_place_that_cannot_be_written_is_one_line(run_command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = run_command(app, "-o", tmp_path / "file", "--per-class", 1, "--workers", 2)
    assert outcome.code == 1
    assert "cannot be written" in outcome.errors
    assert "Traceback" not in outcome.errors
