import io

import numpy as np
import pytest

from model_registry.training.evaluation import Evaluation


@pytest.fixture
def evaluation() -> Evaluation:
    predictions = [0, 0, 1, 1, 1, 1]
    return Evaluation(np.array([0, 0, 0, 1, 1, 2]), np.eye(3, dtype="f4")[predictions])


def test_known_figures(evaluation: Evaluation) -> None:
    assert evaluation.accuracy == 4 / 6
    assert evaluation.recall(["a", "b", "c"]) == pytest.approx({"a": 2 / 3, "b": 1.0, "c": 0.0})
    # F1 of a: precision 1, recall 2/3 → 0.8; of b: 2/4 and 1 → 2/3; c is never predicted → 0.
    assert evaluation.macro_f1 == pytest.approx((0.8 + 2 / 3 + 0) / 3)


def test_confusion_matrix_is_a_picture_with_every_class(evaluation: Evaluation) -> None:
    names = ["background", "$odd_{name", "c"]
    figure = evaluation.confusion_matrix(names)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == names
    figure.savefig(buffer := io.BytesIO(), format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")
