import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli import UserError
from data_generate.rows.mixes import parse_mix, parse_schedule

names = st.from_regex(r"[A-Za-z0-9_-]{1,10}", fullmatch=True)


def test_bare_name_is_the_whole_mix() -> None:
    assert parse_mix("tuesday") == {"tuesday": 1.0}


def test_fractions_with_blanks() -> None:
    assert parse_mix(" monday = 0.2 , tuesday=0.8 ") == {"monday": 0.2, "tuesday": 0.8}


@given(st.lists(names, min_size=1, max_size=8, unique=True), st.data())
def test_any_fractions_that_sum_to_one_are_read_back(datasets: list[str], data: st.DataObject) -> None:
    weights = [data.draw(st.integers(1, 1000)) for _ in datasets]
    mix = {name: weight / sum(weights) for name, weight in zip(datasets, weights, strict=True)}
    assert parse_mix(",".join(f"{name}={fraction!r}" for name, fraction in mix.items())) == mix


@pytest.mark.parametrize(
    "text",
    [
        *("", "monday=0.5", "monday=0.6,tuesday=0.6", "monday=x", "monday=nan", "monday=-1,tuesday=2", "monday=inf"),
        *("../monday", "a/b", "monday=0.5,monday=0.5", "monday=0.5,", "mon day"),
    ],
)
def test_broken_mix_is_named(text: str) -> None:
    with pytest.raises(UserError, match="mix"):
        parse_mix(text)


def test_schedule_switches_at_the_second() -> None:
    schedule = parse_schedule({"monday": 1.0}, "60:monday=0.5,tuesday=0.5; 120:tuesday")
    assert schedule.at(0) == {"monday": 1.0}
    assert schedule.at(59.99) == {"monday": 1.0}
    assert schedule.at(60) == {"monday": 0.5, "tuesday": 0.5}
    assert schedule.at(120) == {"tuesday": 1.0}
    assert schedule.at(1e9) == {"tuesday": 1.0}
    assert schedule.datasets() == ["monday", "tuesday"]


def test_entry_at_zero_replaces_the_first_mix() -> None:
    assert parse_schedule({"monday": 1.0}, "0:tuesday").at(0) == {"tuesday": 1.0}


@pytest.mark.parametrize("text", ["tuesday", "x:tuesday", "-1:tuesday", "nan:tuesday", "inf:tuesday", "9:a;8:b"])
def test_broken_schedule_is_named(text: str) -> None:
    with pytest.raises(UserError, match="schedule entry"):
        parse_schedule({"monday": 1.0}, text)
