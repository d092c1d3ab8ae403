"""A version is rebuilt from its record: a registry that holds one in memory, and images of plain colours."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest
from PIL import Image

from common.cli import UserError
from model_registry.data.content_hash import content_hash
from model_registry.data.dataset import LabelledImage, ManifestRow
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.settings import Settings
from model_registry.training.evaluation import Evaluation
from model_registry.training.rehearsal import Recipe
from model_registry.training.training import TrainedModel, train_rows
from model_registry.versions.registry_client import Registry
from model_registry.versions.reproduction import Reproduction, compare_answers, compare_metrics, reproduce

CLASSES = ("blue", "green", "red")
IMAGES = 15
"""Of each class and day."""

VERSION = cast("Any", SimpleNamespace(version="2", run_id="run", name="model"))


class Record(Registry):
    """A registry with one version, as if `trained` had been registered."""

    trained: TrainedModel
    parameters: dict[str, str]
    metrics: dict[str, float]

    @classmethod
    def of(cls, trained: TrainedModel) -> "Record":
        record = cls(cast("Any", SimpleNamespace()), "model")
        vars(record).update(
            trained=trained,
            parameters={name: str(value) for name, value in trained.parameters.items()},
            metrics=dict(trained.metrics),
        )
        run = SimpleNamespace(data=SimpleNamespace(params=record.parameters, metrics=record.metrics))
        vars(record.client)["get_run"] = lambda _: run
        return record

    def manifest(self, version: object, folder: Path) -> list[ManifestRow]:
        return self.trained.manifest

    def load(self, version: object) -> onnx.ModelProto:
        return self.trained.model


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images; on tuesday the colours are paler."""
    root = tmp_path_factory.mktemp("images")
    for day, (target, name), number in itertools.product(("monday", "tuesday"), enumerate(CLASSES), range(IMAGES)):
        colour = [0 if day == "monday" else 90] * 3
        colour[2 - target] = 255 - 5 * number
        file = root / day / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), tuple(colour)).save(file)
    return root


@pytest.fixture(scope="module")
def settings(root: Path) -> Settings:
    return Settings(image_root=root, embedding_cache=root / "cache.sqlite", code_commit="today")


@pytest.fixture(scope="module")
def trained(settings: Settings) -> TrainedModel:
    """As an adaptation makes it: some of tuesday's rows, and a split that is another model's and not the seed's."""
    rows = [LabelledImage(f"{name}/{n}.png", target) for target, name in enumerate(CLASSES) for n in range(IMAGES)]
    known = [
        ManifestRow("monday", row.image_path, row.target, "test" if row.image_path.endswith("7.png") else "train", "")
        for row in rows
    ]
    recipe = Recipe(4, "balanced_random", 0.3)
    embeddings = EmbeddingSource(settings.embedding_cache, content_hash)
    trained = train_rows(rows, [row for row in rows if "1" not in row.image_path], settings, recipe, embeddings, known)
    assert [row.image_path for row in trained.manifest if row.split == "test" and row.dataset == "monday"] == [
        f"{name}/7.png" for name in CLASSES
    ]
    return replace(trained, code_commit="then")


@pytest.fixture
def record(trained: TrainedModel) -> Record:
    return Record.of(trained)


def failing(result: Reproduction) -> dict[str, str]:
    return {check.what: check.detail for check in result.checks if not check.agrees}


def test_a_version_is_rebuilt_from_its_record(record: Record, settings: Settings) -> None:
    result = reproduce(record, VERSION, settings)
    assert result.agrees, failing(result)
    details = {check.what: check.detail for check in result.checks}
    assert list(details) == [
        "data manifest",
        "backbone's weights",
        "images trained on",
        "metrics",
        "predictions",
        "probabilities",
    ]
    held_out = sum(row.split == "test" for row in record.trained.manifest)
    assert details["predictions"] == f"{held_out} of {held_out} held-out images the same"
    assert details["probabilities"].startswith("at most 0.0e+00 apart")
    assert (result.recorded_commit, result.commit) == ("then", "today")


def test_another_choice_of_the_strategy_is_said(
    record: Record, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_registry.training.rehearsal.select", lambda _, old, *__: np.arange(len(old.labels)))
    result = reproduce(record, VERSION, settings)
    chosen = sum((row.dataset, row.split) == ("monday", "train") for row in record.trained.manifest)
    assert not result.agrees
    others = 3 * IMAGES - 3 - chosen
    assert failing(result)["images trained on"].startswith(
        f"of monday 0 recorded images are not chosen now and {others} others are, first "
    )


@pytest.mark.parametrize(
    ("change", "what", "says"),
    [
        (lambda record: record.metrics.update(test_accuracy=0.25), "metrics", "test_accuracy was 0.25, is "),
        (lambda record: record.metrics.update(test_recall_9_x=1.0), "metrics", "test_recall_9_x was 1.0, is None"),
        (lambda record: record.metrics.pop("test_macro_f1"), "metrics", "test_macro_f1 was None, is "),
        (lambda record: record.parameters.update(data_manifest_sha256="0"), "data manifest", "recorded 0, now"),
        (lambda record: record.parameters.update(backbone_sha256="0"), "backbone's weights", "recorded 0, now"),
    ],
)
def test_what_differs_is_named(
    record: Record,
    trained: TrainedModel,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Record], object],
    what: str,
    says: str,
) -> None:
    monkeypatch.setattr("model_registry.versions.reproduction.train_rows", lambda *_, **__: trained)
    change(record)
    result = reproduce(record, VERSION, settings)
    assert list(failing(result)) == [what]
    assert says in failing(result)[what]


def test_another_graph_is_noticed(trained: TrainedModel, root: Path) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(trained.model)
    biases = next(each for each in other.graph.initializer if each.name == "head.biases")
    biases.CopyFrom(onnx.numpy_helper.from_array(np.array([50, 0, 0], dtype=np.float32), biases.name))
    rows = [row for row in trained.manifest if row.split == "test"]
    predictions, probabilities = compare_answers(other, trained.model, rows, root)
    blue = sum(row.target == 0 for row in rows)
    assert (predictions.agrees, predictions.detail) == (False, f"{blue} of {len(rows)} held-out images the same")
    assert not probabilities.agrees


def test_only_nearly_equal_classes_excuse_another_figure(trained: TrainedModel) -> None:
    """Of ten images of two classes nine are right; of the tenth both classes are nearly equal, or not."""
    targets = np.array([0, 1] * 5)

    def made_of(last: tuple[float, float]) -> TrainedModel:
        probabilities = np.vstack([np.eye(2, dtype=np.float32)[targets[:9]], np.array([last], dtype=np.float32)])
        return replace(trained, classes=["a", "b"], clean=Evaluation(targets, probabilities), drifted=None)

    right, wrong, far = made_of((0.499, 0.501)), made_of((0.501, 0.499)), made_of((0.6, 0.4))
    same = compare_metrics(right.metrics, right)
    assert (same.agrees, same.detail) == (True, "4 equal figures")
    other = compare_metrics(right.metrics, wrong)
    assert other.agrees
    assert other.detail == "1 equal figures; 3 differ by images of which two classes are nearly equal"
    assert not compare_metrics(right.metrics, far).agrees
    two_lost = right.metrics | {"test_accuracy": 0.8}
    assert compare_metrics(two_lost, right).detail == "test_accuracy was 0.8, is 1.0"


def test_a_changed_image_is_named(record: Record, settings: Settings, tmp_path: Path, root: Path) -> None:
    (tmp_path / "monday").symlink_to(root / "monday")
    (tmp_path / "tuesday/red").mkdir(parents=True)
    for name in ("blue", "green"):
        (tmp_path / "tuesday" / name).symlink_to(root / "tuesday" / name)
    for file in (root / "tuesday/red").iterdir():
        (tmp_path / "tuesday/red" / file.name).write_bytes(file.read_bytes() + b"\0" * (file.name == "3.png"))
    elsewhere = settings.model_copy(update={"image_root": tmp_path})
    with pytest.raises(UserError, match=r"1 of \d+ images below .* have changed since training: red/3\.png"):
        reproduce(record, VERSION, elsewhere)


def test_a_strategy_that_this_code_does_not_have_is_named(record: Record, settings: Settings) -> None:
    record.parameters["strategy"] = "own_idea"
    with pytest.raises(UserError, match=r"'own_idea', which this code does not have\. Check out its commit: then"):
        reproduce(record, VERSION, settings)


def test_a_record_that_says_too_little_is_refused(record: Record, settings: Settings) -> None:
    del record.parameters["seed"]
    with pytest.raises(UserError, match="does not tell its seed"):
        reproduce(record, VERSION, settings)
