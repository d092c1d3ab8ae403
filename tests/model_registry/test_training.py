import numpy as np
import onnx
import pytest

from common.cli import UserError
from model_registry.dataset import ManifestRow
from model_registry.evaluation import Evaluation
from model_registry.rehearsal import Recipe
from model_registry.training import Trained, require_accuracy


def trained(classes: list[str], drifted: Evaluation | None = None) -> Trained:
    targets = np.arange(len(classes))
    rows = [ManifestRow("monday", f"{name}/1.jpg", target, "test", "0" * 64) for target, name in enumerate(classes)]
    return Trained(onnx.ModelProto(), classes, rows, Evaluation(targets, targets), drifted, Recipe(), None)


def test_any_folder_name_makes_a_metric_of_its_own() -> None:
    metrics = trained(["a(", "a)", "../b", "x" * 250]).metrics
    recalls = [name for name in metrics if name.startswith("test_recall_")]
    assert recalls == ["test_recall_0_a_", "test_recall_1_a_", "test_recall_2____b", f"test_recall_3_{'x' * 100}"]


def test_figures_of_tuesday_are_there_only_when_its_images_are() -> None:
    assert "test_accuracy_tuesday" not in trained(["a", "b"]).metrics
    half_right = Evaluation(np.array([0, 1]), np.array([0, 0]))
    assert trained(["a", "b"], half_right).metrics["test_accuracy_tuesday"] == 0.5


def test_the_manifest_hash_changes_with_any_image() -> None:
    first, second = trained(["a", "b"]), trained(["a", "c"])
    assert first.parameters["data_manifest_sha256"] != second.parameters["data_manifest_sha256"]
    assert first.parameters["data_manifest_sha256"] == trained(["a", "b"]).parameters["data_manifest_sha256"]


def test_the_minimum_itself_is_enough() -> None:
    require_accuracy(0.8, 0.8)
    with pytest.raises(UserError, match="MODEL_REGISTRY_MINIMUM_ACCURACY"):
        require_accuracy(0.7999, 0.8)
