"""Each strategy on rows whose right choice is known, and what holds for all of them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from model_registry.strategies import BASELINE, STRATEGIES, RehearsalPool, select
from model_registry.strategies.herding import herding_order

BUDGETED = [name for name, strategy in STRATEGIES.items() if strategy.budgeted]
PAIRS = ["cp_l1norm", "cp_l2norm", "cp_cosine"]


def rows(points: list[list[float]], labels: list[int], margins: list[float] | None = None) -> RehearsalPool:
    return RehearsalPool(
        np.array(points, dtype=np.float32),
        np.array(labels, dtype=np.int64),
        np.array(margins or [0.0] * len(labels), dtype=np.float32),
    )


def chosen(name: str, old: RehearsalPool, budget: float, seed: int = 0) -> list[int]:
    return [int(row) for row in select(STRATEGIES[name], old, budget, np.random.default_rng(seed))]


def random_rows(classes: int = 3, each: int = 10) -> RehearsalPool:
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(classes), each)
    return RehearsalPool(
        rng.normal(size=(len(labels), 4)).astype(np.float32), labels, rng.random(len(labels), dtype=np.float32)
    )


@st.composite
def any_rows(draw: st.DrawFn) -> RehearsalPool:
    """Up to 40 rows of up to 4 classes, with equal embeddings and rows of zeros among them."""
    count = draw(st.integers(1, 40))
    values = st.integers(-3, 3).map(float)
    points = draw(numpy_strategies.arrays(np.float32, (count, 3), elements=values))
    labels = draw(numpy_strategies.arrays(np.int64, count, elements=st.integers(0, 3)))
    margins = draw(numpy_strategies.arrays(np.float32, count, elements=values))
    return RehearsalPool(points, labels, margins)


@pytest.mark.parametrize("name", BUDGETED)
@given(old=any_rows(), budget=st.floats(0, 2), seed=st.integers(0, 99))
def test_the_budget_is_kept_and_the_choice_repeatable(name: str, old: RehearsalPool, budget: float, seed: int) -> None:
    before = old.embeddings.copy(), old.labels.copy(), old.margins.copy()
    choice = chosen(name, old, budget, seed)
    assert len(choice) == min(round(budget * len(old.labels)), len(old.labels))
    assert sorted(set(choice)) == choice
    assert set(choice) <= set(range(len(old.labels)))
    assert chosen(name, old, budget, seed) == choice
    for array, copy in zip((old.embeddings, old.labels, old.margins), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", BUDGETED)
def test_no_budget_gives_nothing_and_too_much_gives_everything(name: str) -> None:
    old = random_rows()
    assert chosen(name, old, 0) == []
    assert chosen(name, old, 0.01) == []
    assert chosen(name, old, 1) == list(range(30))
    assert chosen(name, old, 7) == list(range(30))


@pytest.mark.parametrize("name", BUDGETED)
def test_one_class_is_enough(name: str) -> None:
    assert len(chosen(name, random_rows(classes=1), 0.5)) == 5


@pytest.mark.parametrize("name", ["balanced_random", "balanced_margin", "herding"])
def test_a_small_class_gives_all_and_the_others_the_rest(name: str) -> None:
    old = random_rows(classes=3, each=10)
    old.labels[:9] = 1  # Classes of 1, 19 and 10 rows.
    assert Counter(old.labels[chosen(name, old, 0.5)].tolist()) == {0: 1, 1: 7, 2: 7}


def test_which_days_are_trained_on() -> None:
    old = random_rows()
    assert {name: strategy.uses_new for name, strategy in STRATEGIES.items() if not strategy.budgeted} == {
        "monday": False,
        "tuesday": True,
        "all": True,
    }
    assert chosen("monday", old, 0.1) == chosen("all", old, 0.1) == list(range(30))
    assert chosen("tuesday", old, 0.1) == []
    assert all(STRATEGIES[name].uses_new for name in BUDGETED)


@pytest.mark.parametrize("name", ["random", "balanced_random", *PAIRS])
def test_another_seed_another_choice(name: str) -> None:
    assert len({tuple(chosen(name, random_rows(), 0.2, seed)) for seed in range(5)}) > 1


def test_random_takes_every_row_equally_often() -> None:
    counts = Counter(row for seed in range(900) for row in chosen(BASELINE, random_rows(), 0.2, seed))
    assert len(counts) == 30
    # 180 expected, with a standard deviation of 12.
    assert max(abs(count - 180) for count in counts.values()) < 60


def test_balanced_random_takes_every_row_of_a_class_equally_often() -> None:
    old = random_rows()
    counts = Counter(row for seed in range(900) for row in chosen("balanced_random", old, 0.2, seed))
    assert max(abs(counts[row] - 180) for row in range(30)) < 60
    assert Counter(old.labels[chosen("balanced_random", old, 0.2)].tolist()) == {0: 2, 1: 2, 2: 2}


def test_balanced_margin_takes_the_most_doubtful_of_each_class() -> None:
    old = rows([[0.0]] * 6, [0, 0, 0, 1, 1, 1], [3, -1, 2, 9, 7, 8])
    assert chosen("balanced_margin", old, 2 / 6) == [1, 4]
    assert chosen("balanced_margin", old, 4 / 6) == [1, 2, 4, 5]


def test_herding_follows_the_mean() -> None:
    # On the unit circle; the mean points to 0°, so 0° comes first, then the pair around it in turn.
    angles = np.radians([-60, -10, 0, 10, 60])
    circle = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    assert herding_order(circle, 1).tolist() == [2]
    # The mean of those chosen comes much closer to the mean of all than that of as many drawn by lot.
    points = np.random.default_rng(0).normal([3, 0, 0], 1, (200, 3)).astype(np.float32)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    herded = np.linalg.norm(unit[herding_order(points, 20)].mean(axis=0) - unit.mean(axis=0))
    drawn = [
        np.linalg.norm(
            unit[np.random.default_rng(seed).choice(200, 20, replace=False)].mean(axis=0) - unit.mean(axis=0)
        )
        for seed in range(50)
    ]
    assert herded < np.median(drawn) / 2


def test_herding_by_hand() -> None:
    # Unit vectors at 0°, 90° and 30°. Their mean is (0.622, 0.5). Nearest is 30°. Then 30° with 0° has the mean
    # (0.933, 0.25), at distance 0.40, and 30° with 90° has (0.433, 0.75), at 0.31: 90° is next.
    points = np.array([[2.0, 0.0], [0.0, 5.0], [np.sqrt(3), 1.0]], dtype=np.float32)
    assert herding_order(points, 3).tolist() == [2, 1, 0]


def test_k_centre_takes_the_farthest_next() -> None:
    # The mean is 23: 20 comes first, then 100, then 0, which is 20 away; 1 and 19 are nearer.
    old = rows([[0.0], [1.0], [20.0], [19.0], [100.0], [18.0], [3.0]], [0] * 7)
    assert chosen("k_centre", old, 1 / 7) == [2]
    assert chosen("k_centre", old, 2 / 7) == [2, 4]
    assert chosen("k_centre", old, 3 / 7) == [0, 2, 4]


def test_the_three_measures_of_likeness_differ() -> None:
    # From row 0, the only one of its class: row 1 is 2.4 away by L1 and by L2, row 2 is 3.1 by L1 and 2.2 by L2, and
    # row 3, far off, is in the same direction.
    old = rows([[1.0, 1.0], [1.0, 3.4], [2.6, 2.5], [9.0, 9.0]], [0, 1, 1, 1])
    for name, favourite in (("cp_l1norm", 1), ("cp_l2norm", 2), ("cp_cosine", 3)):
        drawn = Counter(tuple(chosen(name, old, 2 / 4, seed)) for seed in range(100))
        assert set(drawn) == {(0, 1), (0, 2), (0, 3)}
        # Half of the pairs begin at row 0 and end at its neighbour; the others begin at any of the three.
        assert drawn[0, favourite] > 50, name


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_are_of_two_classes_and_no_row_is_used_twice(name: str) -> None:
    # Two of each class lie close together, far from everything else.
    old = rows([[1.0, 0.0], [1.0, 0.01], [0.0, 5.0], [0.01, 5.0], [-7.0, -7.0], [-7.0, -7.01]], [0, 1, 0, 1, 0, 1])
    for seed in range(20):
        pair = chosen(name, old, 2 / 6, seed)
        assert pair in ([0, 1], [2, 3], [4, 5])
        assert chosen(name, old, 4 / 6, seed) in ([0, 1, 2, 3], [0, 1, 4, 5], [2, 3, 4, 5])


@pytest.mark.parametrize("name", PAIRS)
def test_anchors_are_drawn_by_class_not_by_size(name: str) -> None:
    # One row of class 0 beside 19 of class 1: an odd budget of one is an anchor alone.
    old = rows([[float(number + 1)] for number in range(20)], [0] + [1] * 19)
    first = Counter(chosen(name, old, 1 / 20, seed) == [0] for seed in range(200))
    assert 60 < first[True] < 140


@pytest.mark.parametrize("name", PAIRS)
def test_when_pairs_run_out_the_rest_is_drawn(name: str) -> None:
    old = rows([[float(number + 1)] for number in range(10)], [0] + [1] * 9)
    assert len(chosen(name, old, 0.8)) == 8
