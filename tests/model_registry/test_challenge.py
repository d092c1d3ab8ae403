"""What a challenge refuses; the tests of integration carry whole ones out."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import onnx
import pytest

from common.cli import UserError
from model_registry import challenge
from model_registry.challenge import Champion, chosen_recipe, judge_challenger, read_champion
from model_registry.comparing import batch_ms
from model_registry.dataset import ManifestRow
from model_registry.evaluation import Evaluation
from model_registry.gate import Answers, Verdict
from model_registry.rehearsal import Recipe
from model_registry.settings import Settings
from model_registry.training import Trained

TARGETS = np.array([0, 1, 0, 1])
WRONG = 1 - TARGETS


@pytest.mark.parametrize("strategy", ["monday", "nothing"])
def test_a_strategy_must_train_on_the_drifted_day(strategy: str) -> None:
    with pytest.raises(UserError, match=f"ADAPT_STRATEGY={strategy} is not one of tuesday, random"):
        chosen_recipe(Settings(adapt_strategy=strategy), seed=1)
    assert chosen_recipe(Settings(adapt_budget=0.3), seed=1) == Recipe(1, "balanced_margin", 0.3)


def test_a_champion_must_say_what_it_held_out() -> None:
    registry = MagicMock(model_name="m")
    registry.champion.return_value = None
    with pytest.raises(UserError, match="no champion to compare with"):
        read_champion(registry)
    registry.champion.return_value = SimpleNamespace(version="3", name="m", run_id="r")
    registry.client.get_run.return_value.data.params = {"seed": "1"}
    with pytest.raises(UserError, match="version 3 recorded no seed or no group pattern"):
        read_champion(registry)


@pytest.mark.parametrize(("recorded", "pattern"), [("None", None), (r"^(.+)__\d+", r"^(.+)__\d+")])
def test_the_recorded_split_is_read(recorded: str, pattern: str | None) -> None:
    registry = MagicMock()
    registry.champion.return_value = SimpleNamespace(version=3, name="m", run_id="r")
    registry.client.get_run.return_value.data.params = {"seed": "7", "group_pattern": recorded}
    champion = read_champion(registry)
    assert (champion.version, champion.seed, champion.group_pattern) == ("3", 7, pattern)


def judged(monkeypatch: pytest.MonkeyPatch, answered: np.typing.NDArray[np.int64]) -> Verdict:
    """A challenger that was right everywhere when trained, and gives `answered` as the registry has it."""
    right = Evaluation(TARGETS, np.eye(2, dtype=np.float32)[TARGETS], np.empty((4, 0), dtype=np.float32))
    rows = [
        ManifestRow(day, f"c/{n}", int(t), "test", "") for day in ("monday", "tuesday") for n, t in enumerate(TARGETS)
    ]
    trained = Trained(onnx.ModelProto(), ["a", "b"], rows, right, right, Recipe(), None, "")
    days = {day: Answers(TARGETS, WRONG, answered) for day in ("monday", "tuesday")}
    monkeypatch.setattr(challenge, "answers_of_both", lambda *_: days)
    monkeypatch.setattr(challenge, "batch_ms", lambda _: 80.0)
    champion = Champion("1", onnx.ModelProto(), rows, 0, None)
    return judge_challenger(MagicMock(), champion, MagicMock(version="2"), trained, Settings())


def test_the_graph_that_is_judged_is_the_one_that_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, TARGETS).passed
    with pytest.raises(UserError, match="version 2 answers otherwise than the model that was trained"):
        judged(monkeypatch, np.array([0, 1, 0, 0]))


def test_a_batch_is_timed(backbone: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(backbone)
    model.graph.output[0].name = "probabilities"
    model.graph.node[-1].output[0] = "probabilities"
    assert 1 < batch_ms(model) < 5000
