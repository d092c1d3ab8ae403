"""What is picked."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from data_generate.rows.row_sources import CargoRows, IrisRows
from tests.data_generate.manifests import manifest

BOTH = {"monday": 0.3, "tuesday": 0.7}


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_every_image_comes_once_before_any_comes_again(batches: list[int]) -> None:
    source = CargoRows([manifest("monday", 20), manifest("tuesday", 13)], seed=5)
    rows = [row for count in batches for row in source.pick(count, BOTH)]
    assert len(rows) == sum(batches)
    for dataset, images in (("monday", 20), ("tuesday", 13)):
        times = Counter(row[1] for row in rows if row[0] == dataset)
        whole, rest = divmod(times.total(), images)
        assert Counter({path: times[path] for path in times if times[path] > whole}).total() == rest * (whole + 1)
        assert set(times.values()) <= {whole, whole + 1}


def test_each_pass_has_an_order_of_its_own() -> None:
    source = CargoRows([manifest("monday", 50)], seed=5)
    first, second = (source.pick(50, {"monday": 1.0}) for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second)
    assert first != sorted(first)


def test_a_data_set_that_comes_later_changes_nothing_for_the_others() -> None:
    alone, joined = (CargoRows([manifest("monday", 50)], seed=5) for _ in range(2))
    assert not joined.knows("tuesday")
    joined.add(manifest("tuesday", 50))
    assert joined.knows("tuesday")
    assert alone.pick(70, {"monday": 1.0}) == joined.pick(70, {"monday": 1.0})
    assert {row[0] for row in joined.pick(20, {"tuesday": 1.0})} == {"tuesday"}


def test_the_mix_is_met() -> None:
    rows = CargoRows([manifest("monday", 20), manifest("tuesday", 20)], seed=5).pick(10_000, BOTH)
    assert Counter(row[0] for row in rows)["tuesday"] / len(rows) == pytest.approx(0.7, abs=0.02)


def test_without_a_seed_the_picks_differ() -> None:
    first, second = (CargoRows([manifest("monday", 50)], None).pick(50, {"monday": 1.0}) for _ in range(2))
    assert first != second


def test_iris_rows_are_scikit_learns() -> None:
    source = IrisRows(1)
    iris = load_iris()
    assert source.columns == (*iris.feature_names, "target")
    rows = source.pick(5000, {})
    assert set(rows) == {(*flower, kind) for flower, kind in zip(iris.data.tolist(), iris.target.tolist(), strict=True)}
    assert len(set(rows)) == 149  # Two of the 150 flowers are equal.
    assert {row[-1] for row in rows} == {0, 1, 2}
    assert all(type(value) is float for row in rows for value in row[:-1])
