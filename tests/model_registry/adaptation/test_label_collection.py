"""How long a run waits for labelled images: looks that are made up, and a clock that does not run by itself."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli import UserError
from model_registry.adaptation.label_collection import POLL_INTERVAL_S, LabelledRows, collect, has_enough, wanted_images
from model_registry.data.dataset import LabelledImage
from model_registry.settings import Settings

SETTINGS = Settings(adapt_images=600, adapt_minimum_images=100, adapt_patience_s=60)


def find_champion(images: int, accuracy: float | None = 0.75, rows_since_new: int = 0) -> LabelledRows:
    return LabelledRows([LabelledImage(f"a/{number}.jpg", 0) for number in range(images)], accuracy, rows_since_new)


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def run(
    looks: Iterator[LabelledRows], reference_accuracy: float | None = 0.95
) -> tuple[int, list[tuple[int, int]], float]:
    """How many images were returned, how many there were and were wanted at each look, and the time it took."""
    clock, seen = Clock(), list[tuple[int, int]]()
    images = collect(
        lambda: next(looks),
        reference_accuracy,
        SETTINGS,
        lambda there, wanted: seen.append((len(there), wanted)),
        clock,
        clock.sleep,
    )
    return len(images), seen, clock.now - 1000


def test_twenty_points_of_loss_ask_for_about_five_hundred_images() -> None:
    assert wanted_images(find_champion(10, accuracy=0.75), 0.95, SETTINGS) == 485


@pytest.mark.parametrize(
    ("accuracy", "reference", "wanted"),
    [(0.2, 0.95, 110), (0.05, 1, 100), (0.94, 0.95, 600), (1, 0.9, 600), (None, 0.95, 600), (0.75, None, 600)],
)
def test_a_great_loss_asks_for_few_and_an_unknown_one_for_all_that_are_allowed(
    accuracy: float | None, reference: float | None, wanted: int
) -> None:
    assert wanted_images(find_champion(10, accuracy), reference, SETTINGS) == wanted


def test_a_gate_that_asks_for_much_needs_few_images() -> None:
    assert wanted_images(find_champion(10), 0.95, SETTINGS.model_copy(update={"gate_gain": 0.9})) == 100
    assert wanted_images(find_champion(10, accuracy=1), 0.95, SETTINGS.model_copy(update={"gate_gain": 0})) == 600


def test_images_are_waited_for_and_each_look_is_told() -> None:
    assert run(iter([find_champion(5), find_champion(310), find_champion(485), find_champion(500)])) == (
        485,
        [(5, 485), (310, 485), (485, 485)],
        2 * POLL_INTERVAL_S,
    )


def test_what_is_wanted_follows_what_the_rows_say() -> None:
    told = run(iter([find_champion(5, None), find_champion(150, 0.75), find_champion(160, 0.2)]))[1]
    assert told == [(5, 600), (150, 485), (160, 110)]


def test_a_stream_that_brings_nothing_new_is_not_waited_for() -> None:
    assert (
        run(
            iter(
                [
                    find_champion(300, rows_since_new=0),
                    find_champion(300, rows_since_new=99),
                    find_champion(300, rows_since_new=100),
                ]
            )
        )[0]
        == 300
    )
    assert not has_enough(find_champion(99, rows_since_new=1000), 485, 1, SETTINGS), "the gate could tell nothing"


def test_after_a_while_the_minimum_will_do() -> None:
    images, told, took_s = run(find_champion(100) for _ in range(1000))
    assert (images, took_s) == (100, SETTINGS.adapt_patience_s)
    assert len(told) == SETTINGS.adapt_patience_s / POLL_INTERVAL_S + 1


def test_with_fewer_patience_ends() -> None:
    with pytest.raises(UserError, match="only 99 labelled images of 'tuesday' after 60 s; 100 are needed"):
        run(find_champion(99) for _ in range(1000))


looks = st.builds(find_champion, st.integers(0, 700), st.none() | st.floats(0, 1), st.integers(0, 300))
references = st.none() | st.floats(0, 1)


@given(looks, references, st.integers(1, 600), st.integers(1, 600))
def test_what_is_wanted_stays_within_its_bounds(
    seen: LabelledRows, reference: float | None, minimum: int, most: int
) -> None:
    settings = SETTINGS.model_copy(update={"adapt_images": most, "adapt_minimum_images": minimum})
    assert min(minimum, most) <= wanted_images(seen, reference, settings) <= most


@given(looks, st.floats(0, 1), st.floats(0, 1))
def test_who_lost_more_needs_no_more_images(seen: LabelledRows, accuracy: float, reference: float) -> None:
    worse = replace(seen, accuracy=accuracy / 2)
    before = wanted_images(replace(seen, accuracy=accuracy), reference, SETTINGS)
    assert wanted_images(worse, reference, SETTINGS) <= before


@given(looks, st.integers(100, 600), st.floats(0, 59))
def test_enough_stays_enough(seen: LabelledRows, wanted: int, waited_s: float) -> None:
    more = replace(seen, images=[*seen.images, LabelledImage("b/1.jpg", 1)])
    assert has_enough(more, wanted, waited_s, SETTINGS) >= has_enough(seen, wanted, waited_s, SETTINGS)
