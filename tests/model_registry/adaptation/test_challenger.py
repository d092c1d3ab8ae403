"""What a challenge refuses; the tests of integration carry whole ones out."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import onnx
import pytest

from common.cli import UserError
from model_registry.adaptation import challenger
from model_registry.adaptation.challenger import Champion, chosen_recipe, evaluate_challenger, read_champion
from model_registry.adaptation.gate import Verdict
from model_registry.adaptation.measured_model import MeasuredModel
from model_registry.data.content_hash import content_hash
from model_registry.data.dataset import ManifestRow
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.settings import Settings
from model_registry.training.evaluation import Evaluation
from model_registry.training.head import export, fit_head
from model_registry.training.rehearsal import Recipe
from model_registry.training.training import TrainedModel

TARGETS = np.array([0, 1, 0, 1])


@pytest.mark.parametrize("strategy", ["monday", "nothing"])
def test_a_strategy_must_train_on_the_drifted_day(strategy: str) -> None:
    with pytest.raises(UserError, match=f"ADAPT_STRATEGY={strategy} is not one of tuesday, random"):
        chosen_recipe(Settings(adapt_strategy=strategy), seed=1)
    assert chosen_recipe(Settings(adapt_budget=0.3), seed=1) == Recipe(1, "balanced_margin", 0.3)


def test_a_champion_must_say_what_it_held_out() -> None:
    registry = MagicMock(model_name="m")
    registry.champion.return_value = None
    with pytest.raises(UserError, match="no champion to compare with"):
        read_champion(registry, Path(), MagicMock())
    registry.champion.return_value = SimpleNamespace(version="3", name="m", run_id="r")
    registry.client.get_run.return_value.data.params = {"seed": "1"}
    with pytest.raises(UserError, match="version 3 recorded no seed or no group pattern"):
        read_champion(registry, Path(), MagicMock())


@pytest.mark.parametrize(("recorded", "pattern"), [("None", None), (r"^(.+)__\d+", r"^(.+)__\d+")])
def test_the_recorded_split_is_read(recorded: str, pattern: str | None) -> None:
    registry = MagicMock()
    registry.champion.return_value = SimpleNamespace(version=3, name="m", run_id="r")
    registry.client.get_run.return_value.data.params = {"seed": "7", "group_pattern": recorded}
    champion = read_champion(registry, Path(), MagicMock())
    assert (champion.version, champion.seed, champion.group_pattern) == ("3", 7, pattern)


def judged() -> Verdict:
    """A challenger that was right everywhere, when the champion was wrong everywhere."""
    right = Evaluation(TARGETS, np.eye(2, dtype=np.float32)[TARGETS])
    days = ("monday", "tuesday")
    rows = [ManifestRow(day, f"c/{n}", int(t), "test", "") for day in days for n, t in enumerate(TARGETS)]
    trained = TrainedModel(onnx.ModelProto(), ["a", "b"], rows, right, right, Recipe(), None, "")
    measured = MagicMock(
        batch_ms=80.0, **{"predictions.side_effect": lambda rows: np.array([1 - row.target for row in rows])}
    )
    champion = Champion("1", measured, rows, 0, None)
    embeddings = MagicMock(counts={"streamed": 4})
    return evaluate_challenger(MagicMock(), champion, MagicMock(), trained, Settings(), embeddings)


def test_both_answer_for_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenger, "MeasuredModel", lambda *_: MagicMock(batch_ms=80.0))
    monkeypatch.setattr(challenger, "require_registered", MagicMock())
    verdict = judged()
    assert verdict.passed
    assert {day: figures["gain"] for day, figures in verdict.figures["days"].items()} == {"monday": 1, "tuesday": 1}
    assert verdict.figures["embedded"] == {"streamed": 4}


@pytest.fixture
def graph(backbone: onnx.ModelProto) -> onnx.ModelProto:
    """A model whose 1280 classes are the features of the embedding."""
    model = onnx.ModelProto()
    model.CopyFrom(backbone)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "probabilities"
    return model


def test_a_batch_is_timed(graph: onnx.ModelProto, tmp_path: Path) -> None:
    assert 1 < MeasuredModel(graph, tmp_path, MagicMock()).batch_ms < 5000


def test_embeddings_serve_as_well_as_pictures(
    backbone: onnx.ModelProto, save_image: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [ManifestRow("monday", f"{green}.png", 0, "test", "") for green in range(0, 250, 50)]
    files = [save_image(f"monday/{row.image_path}", (200, int(row.image_path[:-4]), 0)) for row in rows]
    embeddings = EmbeddingSource(tmp_path / "cache.sqlite", content_hash)
    model = export(backbone, fit_head(embeddings.of(files), [0, 0, 1, 1, 2]), ["a", "b", "c"])
    older = onnx.ModelProto()
    older.CopyFrom(model)
    onnx.helper.set_model_props(older, {"classes": "[]"})
    unasked = MagicMock()
    answers = [
        MeasuredModel(model, tmp_path, embeddings).predictions(rows),
        MeasuredModel(older, tmp_path, unasked).predictions(rows),
    ]
    assert [each.tolist() for each in answers] == [[0, 0, 1, 1, 2]] * 2
    unasked.of.assert_not_called()


def test_a_champion_says_how_good_it_was(backbone: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    champion = Champion("1", MeasuredModel(model, Path(), MagicMock()), [], 0, None)
    assert champion.reference_accuracy is None
    onnx.helper.set_model_props(model, {"drift_reference": json.dumps({"accuracy": 0.75})})
    assert champion.reference_accuracy == 0.75


def test_an_image_is_asked_for_once(graph: onnx.ModelProto, save_image: Callable[..., Path], tmp_path: Path) -> None:
    rows = [ManifestRow(day, f"{day[0]}.png", 0, "test", day) for day in ("monday", "tuesday")]
    files = [save_image(f"{row.dataset}/{row.image_path}", (200, 10 * len(row.dataset), 0)) for row in rows]
    measured = MeasuredModel(graph, tmp_path, MagicMock())
    first = measured.predictions(rows[:1])
    both = measured.predictions(rows)
    for file in files:
        file.unlink()
    assert both[0] == first[0]
    np.testing.assert_array_equal(measured.predictions(rows[::-1]), both[::-1])
    champion = Champion("1", measured, rows, 0, None)
    assert champion.measure_early(tmp_path) == measured.batch_ms, "images that are gone are left out"
