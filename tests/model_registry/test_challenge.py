"""What a challenge refuses; the tests of integration carry whole ones out."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import onnx
import pytest

from common.cli import UserError
from model_registry import challenge
from model_registry.challenge import Champion, chosen_recipe, judge_challenger, read_champion
from model_registry.comparing import Measured
from model_registry.dataset import ManifestRow
from model_registry.evaluation import Evaluation
from model_registry.gate import Verdict
from model_registry.rehearsal import Recipe
from model_registry.settings import Settings
from model_registry.training import Trained

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
        read_champion(registry, Path())
    registry.champion.return_value = SimpleNamespace(version="3", name="m", run_id="r")
    registry.client.get_run.return_value.data.params = {"seed": "1"}
    with pytest.raises(UserError, match="version 3 recorded no seed or no group pattern"):
        read_champion(registry, Path())


@pytest.mark.parametrize(("recorded", "pattern"), [("None", None), (r"^(.+)__\d+", r"^(.+)__\d+")])
def test_the_recorded_split_is_read(recorded: str, pattern: str | None) -> None:
    registry = MagicMock()
    registry.champion.return_value = SimpleNamespace(version=3, name="m", run_id="r")
    registry.client.get_run.return_value.data.params = {"seed": "7", "group_pattern": recorded}
    champion = read_champion(registry, Path())
    assert (champion.version, champion.seed, champion.group_pattern) == ("3", 7, pattern)


def judged(registered: onnx.ModelProto) -> Verdict:
    """A challenger that was right everywhere when trained, and is `registered` as the registry has it."""
    right = Evaluation(TARGETS, np.eye(2, dtype=np.float32)[TARGETS], np.empty((4, 0), dtype=np.float32))
    days = ("monday", "tuesday")
    rows = [ManifestRow(day, f"c/{n}", int(t), "test", "") for day in days for n, t in enumerate(TARGETS)]
    trained = Trained(onnx.ModelProto(), ["a", "b"], rows, right, right, Recipe(), None, "")
    registry = MagicMock(**{"load.return_value": registered})
    measured = MagicMock(
        batch_ms=80.0, **{"answers.side_effect": lambda rows: np.array([1 - row.target for row in rows])}
    )
    return judge_challenger(
        registry, Champion("1", measured, rows, 0, None), MagicMock(version="2"), trained, Settings()
    )


def test_the_graph_that_is_judged_is_the_one_that_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenge, "Measured", lambda *_: MagicMock(batch_ms=80.0))
    verdict = judged(onnx.ModelProto())
    assert verdict.passed
    assert {day: figures["gain"] for day, figures in verdict.figures["days"].items()} == {"monday": 1, "tuesday": 1}
    with pytest.raises(UserError, match="version 2 as the registry has it is not the model that was trained"):
        judged(onnx.ModelProto(ir_version=9))


@pytest.fixture
def graph(backbone: onnx.ModelProto) -> onnx.ModelProto:
    """A model whose 1280 classes are the features of the embedding."""
    model = onnx.ModelProto()
    model.CopyFrom(backbone)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "probabilities"
    return model


def test_a_batch_is_timed(graph: onnx.ModelProto, tmp_path: Path) -> None:
    assert 1 < Measured(graph, tmp_path).batch_ms < 5000


def test_an_image_is_asked_for_once(graph: onnx.ModelProto, save_image: Callable[..., Path], tmp_path: Path) -> None:
    rows = [ManifestRow(day, f"{day[0]}.png", 0, "test", day) for day in ("monday", "tuesday")]
    files = [save_image(f"{row.dataset}/{row.image_path}", (200, 10 * len(row.dataset), 0)) for row in rows]
    measured = Measured(graph, tmp_path)
    first = measured.answers(rows[:1])
    both = measured.answers(rows)
    for file in files:
        file.unlink()
    assert both[0] == first[0]
    np.testing.assert_array_equal(measured.answers(rows[::-1]), both[::-1])
    champion = Champion("1", measured, rows, 0, None)
    assert champion.measure_early(tmp_path) == measured.batch_ms, "images that are gone are left out"
