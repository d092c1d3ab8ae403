"""What becomes of a run that was cut off."""

from dataclasses import replace

import pytest

from model_registry.adaptation.next_alarm import InterruptedRun, final_outcome

RUN = InterruptedRun(1, 1, "3", None, None, None, retry_due=True)


def test_a_run_that_was_cut_off_is_tried_again() -> None:
    assert final_outcome(RUN, "3") is None
    assert final_outcome(replace(RUN, attempts=2, challenger_version="4"), "3") is None


@pytest.mark.parametrize(
    ("run", "champion", "outcome", "reason"),
    [
        (replace(RUN, challenger_version="4"), "4", "promoted", "was already champion when the run was interrupted"),
        (replace(RUN, challenger_version="4"), "5", "rejected", "version 5 became the champion in the meantime"),
        (replace(RUN, alarm_end="over"), "3", "failed", "the alarm has ended since: over"),
        (replace(RUN, attempts=3, reason="no store"), "3", "failed", "was interrupted 3 times (before: no store)"),
        # A champion that moved explains more than the number of attempts does.
        (
            replace(RUN, attempts=3, challenger_version="4"),
            "4",
            "promoted",
            "was already champion when the run was interrupted",
        ),
    ],
)
def test_how_it_ends_otherwise(run: InterruptedRun, champion: str, outcome: str, reason: str) -> None:
    end = final_outcome(run, champion)
    assert end is not None
    assert end[0] == outcome
    assert reason in end[1]
