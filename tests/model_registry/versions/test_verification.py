"""What a registered version must be: the very graph that was trained, with answers that its figures come from."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import numpy as np
import onnx
import pytest

from common.cli import UserError
from model_registry.data.content_hash import content_hash
from model_registry.data.dataset import ManifestRow
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.training import evaluation
from model_registry.training.evaluation import Evaluation
from model_registry.training.head import export, fit_head
from model_registry.training.rehearsal import Recipe
from model_registry.training.training import TrainedModel
from model_registry.versions.verification import SAMPLE, explained_by_near_ties, require_registered

VERSION = cast("Any", SimpleNamespace(version="2", run_id="run", name="model"))
TARGETS = np.array([0, 1] * 5)


def answers(*leads: float) -> Evaluation:
    """Of ten images; by how much the right class leads in the first ones, the others are clear."""
    lead = np.array([*leads, *[0.9] * (10 - len(leads))])
    right = (1 + lead) / 2
    probabilities = np.where(np.arange(2) == TARGETS[:, None], right[:, None], 1 - right[:, None])
    return Evaluation(TARGETS, probabilities.astype(np.float32))


@pytest.mark.parametrize(
    ("measured", "possible"),
    [
        (answers(), {1.0}),
        (answers(-0.9), {0.9}),
        (answers(0.005), {0.9, 1.0}),
        (answers(-0.005, -0.9), {0.8, 0.9}),
        (answers(0.005, -0.005), {0.8, 0.9, 1.0}),
        (answers(0.02, -0.02), {0.9}),
    ],
)
def test_only_nearly_equal_classes_excuse_another_accuracy(measured: Evaluation, possible: set[float]) -> None:
    assert {count / 10 for count in range(11) if explained_by_near_ties(count / 10, measured)} == possible


def test_a_third_class_excuses_nothing() -> None:
    """Two classes are nearly equal, but the true one is far behind."""
    probabilities = np.array([[0.1, 0.449, 0.451]], dtype=np.float32)
    assert not explained_by_near_ties(1.0, Evaluation(np.array([0]), probabilities))
    assert explained_by_near_ties(0.0, Evaluation(np.array([0]), probabilities))


@pytest.fixture
def known(tmp_path: Path) -> EmbeddingSource:
    return EmbeddingSource(tmp_path / "cache.sqlite", content_hash)


@pytest.fixture
def files(save_image: Callable[..., Path]) -> list[Path]:
    """Of two classes, greener and redder ones."""
    return [save_image(f"monday/c/{number}.png", (20 * number, 250 - 20 * number, 9)) for number in range(12)]


@pytest.fixture
def trained(backbone: onnx.ModelProto, known: EmbeddingSource, files: list[Path]) -> TrainedModel:
    targets = [number // 6 for number in range(12)]
    model = export(backbone, fit_head(known.of(files), targets), ["a", "b"])
    rows = [
        ManifestRow("monday", f"c/{number}.png", target, "test", known.content_hash(file))
        for number, (target, file) in enumerate(zip(targets, files, strict=True))
    ]
    return TrainedModel(model, ["a", "b"], rows, answers(), None, Recipe(), None, "")


def test_a_sample_goes_through_the_whole_graph(
    trained: TrainedModel, known: EmbeddingSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = MagicMock(**{"load.return_value": trained.model})
    asked: list[Path] = []

    def evaluate(model: onnx.ModelProto, files: list[Path], *_: object) -> Evaluation:
        asked.extend(files)
        return evaluation.evaluate(model, files, [0] * len(files), "")

    monkeypatch.setattr("model_registry.versions.verification.evaluate", evaluate)
    assert require_registered(registry, VERSION, trained, tmp_path, known) is trained.model
    assert len(asked) == len(set(asked)) == SAMPLE
    assert (asked[0].name, asked[-1].name) == ("0.png", "11.png")


def test_another_graph_is_refused(trained: TrainedModel, known: EmbeddingSource, tmp_path: Path) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(trained.model)
    other.graph.initializer[-1].CopyFrom(
        onnx.numpy_helper.from_array(np.zeros(2, dtype=np.float32), other.graph.initializer[-1].name)
    )
    registry = MagicMock(**{"load.return_value": other})
    with pytest.raises(UserError, match="version 2 as the registry has it is not the model that was trained"):
        require_registered(registry, VERSION, trained, tmp_path, known)


def test_embeddings_of_another_picture_are_noticed(trained: TrainedModel, files: list[Path], tmp_path: Path) -> None:
    """As if a service had stored something else under the names of this network."""
    registry = MagicMock(**{"load.return_value": trained.model})
    mixed_up = EmbeddingSource(tmp_path / "other.sqlite", content_hash)
    vectors = mixed_up.of(files)[::-1]
    wrong = EmbeddingSource(tmp_path / "other.sqlite", content_hash)
    wrong.add_streamed({file: (wrong.content_hash(file), vector) for file, vector in zip(files, vectors, strict=True)})
    with pytest.raises(UserError, match=r"version 2 answers .*\.png otherwise than was measured"):
        require_registered(registry, VERSION, trained, tmp_path, wrong)
