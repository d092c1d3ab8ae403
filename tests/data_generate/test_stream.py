"""The loop, on a clock that only its own waiting moves."""

import random
import threading
from collections import Counter
from dataclasses import dataclass, field

import pytest
from sklearn.datasets import load_iris

from data_generate.data_generator import BATCH_ROWS, stream
from data_generate.manifests import Item, Manifest
from data_generate.mixes import parse_mix, parse_schedule
from data_generate.row_sources import CargoRows, IrisRows, Row


class Clock(threading.Event):
    """Time passes only in `wait`."""

    now_s = 0.0

    def read(self) -> float:
        return self.now_s

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now_s += timeout
        return self.is_set()


@dataclass
class Database:
    clock: Clock
    work_s: float = 0.0
    inserts: list[tuple[float, list[Row]]] = field(default_factory=list)

    def insert(self, table: str, columns: tuple[str, ...], rows: list[Row]) -> None:
        self.inserts.append((self.clock.now_s, rows))
        self.clock.now_s += self.work_s

    def rows(self) -> list[Row]:
        return [row for _, rows in self.inserts for row in rows]


def cargo(mix: str, schedule: str = "", seed: int = 3) -> CargoRows:
    items = tuple(Item(image_path=f"c/{number}.jpg", target=number % 5) for number in range(50))
    manifests = {name: Manifest(name, name, items) for name in ("monday", "tuesday")}
    return CargoRows(manifests, parse_schedule(parse_mix(mix), schedule), random.Random(seed))


def run(source: CargoRows, rate: float, burst: int = 0, count: int | None = None, work_s: float = 0.0) -> Database:
    clock = Clock()
    database = Database(clock, work_s)
    assert stream(database, source, rate, burst, count, clock, lambda: None, clock.read) == len(database.rows())
    return database


def test_count_rows_at_the_rate() -> None:
    database = run(cargo("monday"), rate=10, count=100)
    assert [round(at_s, 6) for at_s, _ in database.inserts] == [round(number / 10, 6) for number in range(100)]


def test_high_rate_groups_rows_and_stays_on_time() -> None:
    database = run(cargo("monday"), rate=2000, count=20_000, work_s=0.004)
    assert len(database.rows()) == 20_000
    assert max(len(rows) for _, rows in database.inserts) > 1
    assert database.clock.now_s == pytest.approx(10, abs=0.1)


def test_burst_comes_first_and_at_once_then_the_rate() -> None:
    database = run(cargo("monday"), rate=1, burst=2500, count=2510)
    before_the_rate = [rows for at_s, rows in database.inserts if at_s == 0]
    assert sum(map(len, before_the_rate)) == 2500
    assert max(map(len, before_the_rate)) == BATCH_ROWS
    assert database.clock.now_s == pytest.approx(9)


def test_no_rate_ends_after_the_burst() -> None:
    assert len(run(cargo("monday"), rate=0, burst=30).rows()) == 30
    assert run(cargo("monday"), rate=0).rows() == []


def test_count_bounds_the_burst() -> None:
    assert len(run(cargo("monday"), rate=5, burst=1000, count=7).rows()) == 7


def test_an_outage_is_not_made_up() -> None:
    clock = Clock()
    database = Database(clock)
    insert = database.insert

    def insert_after_an_outage(table: str, columns: tuple[str, ...], rows: list[Row]) -> None:
        insert(table, columns, rows)
        if len(database.inserts) == 10:
            clock.now_s += 600

    database.insert = insert_after_an_outage  # type: ignore[method-assign]
    stream(database, cargo("monday"), 10, 0, 100, clock, lambda: None, clock.read)
    assert len(database.rows()) == 100
    assert max(len(rows) for _, rows in database.inserts) == 1


def test_stop_ends_it() -> None:
    clock = Clock()
    clock.set()
    assert stream(Database(clock), cargo("monday"), 10, 5, None, clock, lambda: None, clock.read) == 0


def test_mix_and_schedule_decide_the_data_set() -> None:
    database = run(cargo("monday=0.2,tuesday=0.8", "50:monday"), rate=100, count=10_000)
    early = Counter(row[0] for at_s, rows in database.inserts if at_s < 49.9 for row in rows)
    late = Counter(row[0] for at_s, rows in database.inserts if at_s > 50 for row in rows)
    assert early["tuesday"] / early.total() == pytest.approx(0.8, abs=0.03)
    assert set(late) == {"monday"}


def test_a_seed_repeats_the_picks() -> None:
    first, again, other = (
        run(cargo("monday=0.5,tuesday=0.5", seed=seed), rate=50, count=200).rows() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_iris_rows_are_scikit_learns() -> None:
    source = IrisRows(random.Random(1))
    iris = load_iris()
    assert source.columns == (*iris.feature_names, "target")
    rows = source.pick(5000, 0)
    assert set(rows) == {(*flower, kind) for flower, kind in zip(iris.data.tolist(), iris.target.tolist(), strict=True)}
    assert len(set(rows)) == 149  # Two of the 150 flowers are equal.
    assert {row[-1] for row in rows} == {0, 1, 2}
    assert all(type(value) is float for row in rows for value in row[:-1])
