import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_prepare.corruptions import CORRUPTIONS, Box, Pixels, draw_boxes, mosaic, random_boxes, random_line, strength

SEVERITIES = st.integers(1, 5)
SEEDS = st.integers(0, 2**32)
SIDES = st.integers(1, 90)


@st.composite
def pictures(draw: st.DrawFn) -> Pixels:
    """Any size from 1×1, grey or colour, with and without alpha, 8 bits and 16 bits of grey."""
    size = (draw(SIDES), draw(SIDES))
    shape, dtype = draw(
        st.sampled_from(
            [
                (size, np.uint8),
                (size, np.uint16),
                ((*size, 2), np.uint8),
                ((*size, 3), np.uint8),
                ((*size, 4), np.uint8),
            ]
        )
    )
    filled: Pixels = draw(arrays(dtype, shape, elements=st.integers(1, 254), fill=st.integers(1, 254)))
    return filled


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("severity", "expected"), [(1, 0.5), (2, 0.75), (3, 1.0), (4, 1.25), (5, 1.5)])
def test_severity_three_is_the_reference(severity: int, expected: float) -> None:
    assert strength(severity) == expected


@given(SEEDS, st.integers(1, 3000), st.integers(1, 3000), SEVERITIES)
def test_boxes_have_the_specified_count_and_size_and_lie_inside(
    seed: int, width: int, height: int, severity: int
) -> None:
    boxes = draw_boxes(rng(seed), width, height, severity)
    factor, shorter = (severity + 1) / 4, min(width, height)
    assert round(5 * factor) <= len(boxes) <= round(10 * factor)
    for box in boxes:
        assert 0 <= box.left <= box.left + box.width <= width
        assert 0 <= box.top <= box.top + box.height <= height
        for side in (box.width, box.height):
            assert max(1, math.floor(0.2 * factor * shorter)) <= side <= max(1, math.ceil(0.4 * factor * shorter))


def test_boxes_of_the_reference_size_are_100_to_200_pixels_at_500() -> None:
    boxes = [box for seed in range(40) for box in draw_boxes(rng(seed), 500, 700, 3)]
    sides = [side for box in boxes for side in (box.width, box.height)]
    assert 100 <= min(sides) < 105
    assert 195 < max(sides) <= 200
    assert {len(draw_boxes(rng(seed), 500, 700, 3)) for seed in range(60)} == set(range(5, 11))


@given(pictures(), SEEDS, SEVERITIES)
def test_white_boxes_change_exactly_the_boxes(pixels: Pixels, seed: int, severity: int) -> None:
    before = pixels.copy()
    random_boxes(pixels, rng(seed), severity)
    inside = np.zeros(pixels.shape[:2], dtype=bool)
    for box in draw_boxes(rng(seed), pixels.shape[1], pixels.shape[0], severity):
        inside[box.region] = True
    assert (pixels[inside] == np.iinfo(pixels.dtype).max).all()
    assert (pixels[~inside] == before[~inside]).all()


def test_mosaic_cells_are_the_means_of_what_they_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_prepare.corruptions.draw_boxes", lambda *_: [Box(5, 3, 20, 40)])
    before = rng(1).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    pixels = before.copy()
    mosaic(pixels, rng(0), 3)
    for row in range(10):
        for column in range(10):
            cell = (slice(3 + 4 * row, 7 + 4 * row), slice(5 + 2 * column, 7 + 2 * column))
            assert (pixels[cell] == np.rint(before[cell].mean(axis=(0, 1)))).all()
    pixels[3:43, 5:25] = before[3:43, 5:25]
    assert (pixels == before).all()


@given(pictures(), SEEDS, SEVERITIES)
def test_mosaic_stays_in_its_patches_and_within_the_range_of_colours(pixels: Pixels, seed: int, severity: int) -> None:
    before = pixels.copy()
    mosaic(pixels, rng(seed), severity)
    inside = np.zeros(pixels.shape[:2], dtype=bool)
    for box in draw_boxes(rng(seed), pixels.shape[1], pixels.shape[0], severity):
        inside[box.region] = True
    assert (pixels[~inside] == before[~inside]).all()
    assert before.min() <= pixels.min() <= pixels.max() <= before.max()


@given(pictures(), SEEDS, SEVERITIES)
def test_the_line_is_black_opaque_and_nothing_else_changes(pixels: Pixels, seed: int, severity: int) -> None:
    before = pixels.copy()
    random_line(pixels, rng(seed), severity)
    colours = pixels if pixels.ndim == 2 else pixels[..., : 3 if pixels.shape[2] > 2 else 1].max(axis=-1)
    line = colours == 0
    assert line.any()
    assert (pixels[~line] == before[~line]).all()
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        assert (pixels[line][:, -1] == 255).all()


@given(SEEDS, SEVERITIES)
def test_the_line_is_as_wide_as_specified_and_runs_from_edge_to_edge(seed: int, severity: int) -> None:
    pixels = np.full((200, 300), 255, dtype=np.uint8)
    random_line(pixels, rng(seed), severity)
    line = pixels == 0
    assert sum(edge.any() for edge in (line[0], line[-1], line[:, 0], line[:, -1])) >= 2
    rows, columns = np.nonzero(line)
    factor = (severity + 1) / 4
    # A straight band: its extent across itself, the smallest over all directions, is its width.
    extents = [np.ptp(columns * math.sin(angle) - rows * math.cos(angle)) for angle in np.linspace(0, math.pi, 721)]
    assert 0.1 * factor * 200 - 3 <= min(extents) <= 0.4 * factor * 200 + 3


@given(pictures(), SEEDS, SEVERITIES)
def test_mixed_is_one_of_the_others(pixels: Pixels, seed: int, severity: int) -> None:
    state = rng(seed)
    chosen = [random_boxes, mosaic, random_line][state.integers(3)]
    expected = pixels.copy()
    chosen(expected, state, severity)
    CORRUPTIONS["mixed"](pixels, rng(seed), severity)
    assert (pixels == expected).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_higher_severity_spoils_more(name: str) -> None:
    def changed(severity: int) -> float:
        total = 0
        for seed in range(30):
            before = rng(99).integers(1, 255, (80, 80, 3), dtype=np.uint8)
            pixels = before.copy()
            CORRUPTIONS[name](pixels, rng(seed), severity)
            total += int((pixels != before).any(axis=-1).sum())
        return total

    assert changed(1) < changed(3) < changed(5)
