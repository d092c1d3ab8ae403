"""What becomes of a run that was cut off."""

from dataclasses import replace

import pytest

from model_registry.adaptation.due_alarm import CutOff, settled

RUN = CutOff(1, 1, "3", None, None, None, rested=True)


def test_a_run_that_was_cut_off_is_tried_again() -> None:
    assert settled(RUN, "3") is None
    assert settled(replace(RUN, attempts=2, challenger_version="4"), "3") is None


@pytest.mark.parametrize(
    ("run", "champion", "outcome", "reason"),
    [
        (replace(RUN, challenger_version="4"), "4", "promoted", "the champion had moved"),
        (replace(RUN, challenger_version="4"), "5", "rejected", "version 5 became the champion meanwhile"),
        (replace(RUN, alarm_end="over"), "3", "failed", "the alarm has ended since: over"),
        (replace(RUN, attempts=3, reason="no store"), "3", "failed", "was cut off 3 times (before: no store)"),
        # A champion that moved explains more than the number of attempts does.
        (replace(RUN, attempts=3, challenger_version="4"), "4", "promoted", "the champion had moved"),
    ],
)
def test_how_it_ends_otherwise(run: CutOff, champion: str, outcome: str, reason: str) -> None:
    end = settled(run, champion)
    assert end is not None
    assert end[0] == outcome
    assert reason in end[1]
