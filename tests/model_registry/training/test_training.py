import itertools
import shutil
from collections import Counter
from pathlib import Path
from typing import Literal
from unittest.mock import MagicMock

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from PIL import Image

from common.cli import UserError
from model_registry.data.content_hash import content_hash
from model_registry.data.dataset import LabelledImage, ManifestRow
from model_registry.network.embedding_source import EmbeddingSource, read_image
from model_registry.settings import Settings
from model_registry.strategies import STRATEGIES
from model_registry.training.evaluation import CLOSE, Evaluation
from model_registry.training.rehearsal import Recipe
from model_registry.training.training import (
    TrainedModel,
    evaluate_rows,
    held_out_rows,
    require_accuracy,
    train,
    train_rows,
)


def evaluation(targets: npt.NDArray[np.int64], predictions: npt.NDArray[np.int64]) -> Evaluation:
    return Evaluation(targets, np.eye(len(targets), dtype=np.float32)[predictions])


def trained(classes: list[str], drifted: Evaluation | None = None) -> TrainedModel:
    targets = np.arange(len(classes))
    rows = [ManifestRow("monday", f"{name}/1.jpg", target, "test", "0" * 64) for target, name in enumerate(classes)]
    return TrainedModel(onnx.ModelProto(), classes, rows, evaluation(targets, targets), drifted, Recipe(), None, "abc")


def test_any_folder_name_makes_a_metric_of_its_own() -> None:
    metrics = trained(["a(", "a)", "../b", "x" * 250]).metrics
    recalls = [name for name in metrics if name.startswith("test_recall_")]
    assert recalls == ["test_recall_0_a_", "test_recall_1_a_", "test_recall_2____b", f"test_recall_3_{'x' * 100}"]


def test_figures_of_tuesday_are_there_only_when_its_images_are() -> None:
    assert "test_accuracy_tuesday" not in trained(["a", "b"]).metrics
    half_right = evaluation(np.array([0, 1]), np.array([0, 0]))
    assert trained(["a", "b"], half_right).metrics["test_accuracy_tuesday"] == 0.5


def test_the_manifest_hash_changes_with_any_image() -> None:
    first, second = trained(["a", "b"]), trained(["a", "c"])
    assert first.parameters["data_manifest_sha256"] != second.parameters["data_manifest_sha256"]
    assert first.parameters["data_manifest_sha256"] == trained(["a", "b"]).parameters["data_manifest_sha256"]


def test_the_minimum_itself_is_enough() -> None:
    require_accuracy(0.8, 0.8)
    with pytest.raises(UserError, match="MODEL_REGISTRY_MINIMUM_ACCURACY"):
        require_accuracy(0.7999, 0.8)


CLASSES = ("blue", "green", "red")
IMAGES = 20
"""Of each class on monday; tuesday has as many, the first five of them by names that monday does not have."""

Table = dict[str, list[LabelledImage]]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """What the source table holds; the images are below `tmp_path`. On tuesday the colours are paler."""
    monkeypatch.setenv("MODEL_REGISTRY_IMAGE_ROOT", str(tmp_path))
    monkeypatch.setenv("MODEL_REGISTRY_EMBEDDING_CACHE", str(tmp_path / "cache.sqlite"))
    rows: Table = {"monday": [], "tuesday": []}
    for (day, first), target, number in itertools.product(
        (("monday", 0), ("tuesday", -5)), range(len(CLASSES)), range(IMAGES)
    ):
        row = LabelledImage(f"{CLASSES[target]}/{number + first}.png", target)
        rows[day].append(row)
        colour = [0 if day == "monday" else 90] * 3
        colour[2 - target] = 255 - 3 * number
        file = tmp_path / day / row.image_path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), tuple(colour)).save(file)
    for module in ("dataset", "days"):
        monkeypatch.setattr(f"model_registry.data.{module}.read_rows", lambda _, dataset: rows[dataset])
    return rows


def embeddings() -> EmbeddingSource:
    return EmbeddingSource(Settings().embedding_cache, content_hash)


def trained_with(strategy: str, budget: float = 0.25, seed: int = 1) -> TrainedModel:
    return train(MagicMock(), Settings(wait_timeout_s=1), Recipe(seed, strategy, budget), embeddings())


def paths(trained: TrainedModel, dataset: str, side: Literal["train", "test", "unused"]) -> set[str]:
    return {row.image_path for row in trained.manifest if (row.dataset, row.split) == (dataset, side)}


def test_a_budgeted_strategy_adds_its_share_of_monday_to_tuesday(table: Table) -> None:
    model = trained_with("balanced_random")
    count = Counter((row.dataset, row.split) for row in model.manifest)
    assert count["monday", "test"] == 12
    assert count["monday", "train"] == 12
    assert count["monday", "unused"] == 36
    assert count["tuesday", "train"] + count["tuesday", "test"] == 60
    assert count["tuesday", "unused"] == 0
    parameters = model.parameters
    assert (parameters["strategy"], parameters["budget"], parameters["seed"]) == ("balanced_random", 0.25, 1)
    assert (parameters["train_images_monday"], parameters["test_images"]) == (12, 12 + count["tuesday", "test"])
    # Every image shows its class's colour: a label that is not its own would cost accuracy.
    assert model.metrics["test_accuracy"] == model.metrics["test_accuracy_tuesday"] == 1
    assert {name for name in model.metrics if name.startswith("test_tuesday_recall")} == {
        f"test_tuesday_recall_{index}_{name}" for index, name in enumerate(CLASSES)
    }


@pytest.mark.parametrize("pattern", [None, r"^-?(\d)"])
def test_no_form_of_a_held_out_image_is_trained_on(
    table: Table, pattern: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pattern:
        monkeypatch.setenv("MODEL_REGISTRY_GROUP_PATTERN", pattern)
    model = trained_with("all")
    held_out = paths(model, "monday", "test") | paths(model, "tuesday", "test")
    used = paths(model, "monday", "train") | paths(model, "tuesday", "train")
    assert not held_out & used
    assert paths(model, "tuesday", "test") - paths(model, "monday", "test"), "new names are held out as well"
    if pattern:
        digits = [{path.split("/")[1].lstrip("-")[0] for path in side} for side in (held_out, used)]
        assert not digits[0] & digits[1]


def test_what_an_earlier_model_knew_stays_on_its_side(table: Table, tmp_path: Path) -> None:
    tuesday = table.pop("tuesday")
    first = trained_with("monday")
    sides = {row.image_path: row.split == "test" for row in first.manifest}
    # Rows that came since, which would move the others in a split of their own.
    for number in range(IMAGES, 2 * IMAGES):
        row = LabelledImage(f"blue/{number}.png", 0)
        shutil.copy(tmp_path / "monday/blue/0.png", tmp_path / "monday" / row.image_path)
        table["monday"].append(row)
    later = train_rows(table["monday"], tuesday, Settings(), Recipe(2, "all"), embeddings(), known=first.manifest)
    held_out = {row.image_path: row.split == "test" for row in later.manifest if row.dataset == "monday"}
    assert {name: held_out[name] for name in sides} == sides
    assert len(held_out) == len(sides) + IMAGES
    new = [held_out[name] for name in held_out if name not in sides]
    assert 0 < sum(new) < IMAGES
    for entry in later.manifest:
        assert held_out.get(entry.image_path, entry.split == "test") == (entry.split == "test")
    alone = train_rows(table["monday"], tuesday, Settings(), Recipe(2, "all"), embeddings())
    assert later.manifest != alone.manifest


def test_monday_knows_nothing_of_tuesday_and_the_split_is_the_same(table: Table) -> None:
    rows = table.pop("tuesday")
    monday = trained_with("monday")
    assert {row.dataset for row in monday.manifest} == {"monday"}
    assert "budget" not in monday.parameters
    # Held-out images of monday that have a form for tuesday.
    assert monday.drifted is not None
    assert len(monday.drifted.targets) == len(paths(monday, "monday", "test") & {row.image_path for row in rows})
    table["tuesday"] = rows
    tuesday = trained_with("tuesday")
    assert paths(tuesday, "monday", "test") == paths(monday, "monday", "test")
    assert paths(tuesday, "monday", "train") == set()


def test_the_graph_itself_gives_the_answers_that_were_measured(table: Table, tmp_path: Path) -> None:
    model = trained_with("all")
    assert model.drifted is not None
    for day, measured in (("monday", model.clean), ("tuesday", model.drifted)):
        rows = [row for row in held_out_rows(model.manifest) if row.dataset == day]
        whole = evaluate_rows(model.model, rows, tmp_path / day, day)
        assert whole.targets.tolist() == measured.targets.tolist()
        np.testing.assert_allclose(measured.probabilities, whole.probabilities, atol=CLOSE / 2)
        assert np.ptp(whole.probabilities, axis=0).max() > 0.5


def test_a_picture_is_decoded_once(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Path] = []

    def read(path: Path) -> npt.NDArray[np.uint8]:
        decoded.append(path)
        return read_image(path)

    monkeypatch.setattr("model_registry.network.embedding_source.read_image", read)
    monkeypatch.setattr("model_registry.training.evaluation.read_image", read)
    trained_with("all")
    assert len(decoded) == len(set(decoded)) == 2 * 3 * IMAGES
    trained_with("random")
    assert len(decoded) == 2 * 3 * IMAGES


def test_the_same_recipe_gives_the_same_model(table: Table) -> None:
    first, second = (trained_with("cp_l2norm") for _ in range(2))
    assert first.manifest == second.manifest
    assert first.model.SerializeToString() == second.model.SerializeToString()
    assert trained_with("cp_l2norm", seed=2).manifest != first.manifest


def test_without_rows_of_tuesday_only_monday_can_be_trained(table: Table) -> None:
    table["tuesday"] = []
    assert STRATEGIES["random"].uses_new
    with pytest.raises(UserError, match=r"no labelled rows of 'tuesday'.*--strategy monday"):
        trained_with("random")


def test_a_class_that_only_tuesday_has_is_refused(table: Table, tmp_path: Path) -> None:
    (tmp_path / "tuesday/violet").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "tuesday/violet/1.png")
    table["tuesday"].append(LabelledImage("violet/1.png", 3))
    with pytest.raises(UserError, match="classes are blue, green, red"):
        trained_with("all")


def test_a_class_that_nothing_trains_is_refused(table: Table) -> None:
    table["tuesday"] = [row for row in table["tuesday"] if row.target != 1]
    with pytest.raises(UserError, match=r"strategy tuesday leaves no image .* of green: raise --budget"):
        trained_with("tuesday")
    assert trained_with("balanced_random").metrics["test_accuracy"] > 0.5
