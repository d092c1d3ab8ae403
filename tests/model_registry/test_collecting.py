"""How long a run waits for labelled images, on a table that is made up."""

from unittest.mock import MagicMock

import pytest

from common.cli import UserError
from model_registry import collecting
from model_registry.dataset import LabelledImage
from model_registry.settings import Settings

SETTINGS = Settings(adapt_images=30, adapt_minimum_images=20, adapt_collect_s=0, adapt_patience_s=0)
PATIENT = SETTINGS.model_copy(update={"adapt_collect_s": 60, "adapt_patience_s": 60})


def collected(monkeypatch: pytest.MonkeyPatch, settings: Settings, *counts: int) -> tuple[int, list[int]]:
    """How many images were returned, and how many were there at each look before; `counts` are those of the looks."""
    table = iter(counts)
    monkeypatch.setattr(
        collecting,
        "labelled_images",
        lambda connection, first_id: [LabelledImage(f"a/{number}.jpg", 0) for number in range(next(table))],
    )
    monkeypatch.setattr(collecting, "LOOK_EVERY_S", 0)
    seen: list[int] = []
    images = collecting.collect(MagicMock(), 7, settings, lambda there: seen.append(len(there)))
    return len(images), seen


def test_enough_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert collected(monkeypatch, PATIENT, 31) == (31, [])


def test_more_are_waited_for_and_the_time_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert collected(monkeypatch, PATIENT, 5, 25, 30) == (30, [5, 25])


def test_after_a_while_the_minimum_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert collected(monkeypatch, SETTINGS, 20) == (20, [])


def test_with_fewer_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="only 19 labelled images of 'tuesday' from row 7 on after 0 s; 20 are needed"):
        collected(monkeypatch, SETTINGS, 19)


def test_fewer_are_waited_for_while_there_is_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SETTINGS.model_copy(update={"adapt_patience_s": 60})
    assert collected(monkeypatch, settings, 3, 19, 21) == (21, [3, 19])
