"""The loop, on a clock that only its own waiting moves."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_generate.control.stream_settings import StreamSettings
from data_generate.rows.mixes import parse_mix, parse_schedule
from data_generate.rows.row_sources import CargoRows, Row
from data_generate.streaming.stream import BATCH_ROWS, Stream
from tests.data_generate.manifests import manifest

LATE_S = 7.0


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
    label_delays_s: list[float | None] = field(default_factory=list)

    def insert(self, table: str, columns: tuple[str, ...], rows: list[Row], label_delay_s: float | None) -> None:
        self.inserts.append((self.clock.now_s, rows))
        self.label_delays_s.append(label_delay_s)
        self.clock.now_s += self.work_s

    def rows(self) -> list[Row]:
        return [row for _, rows in self.inserts for row in rows]


@dataclass
class FlowControl:
    """Lets `limit` rows be open; `take_off` says how many of them go."""

    limit: int
    take_off: Callable[[], int]
    open_rows: int = 0
    most: int = 0

    def available_rows(self) -> int:
        self.open_rows = max(self.open_rows - self.take_off(), 0)
        return self.limit - self.open_rows

    def writes(self, count: int) -> None:
        self.open_rows += count
        self.most = max(self.most, self.open_rows)


def cargo(seed: int = 3) -> CargoRows:
    return CargoRows([manifest(name, 50) for name in ("monday", "tuesday")], seed)


def steered(rate: float, mix: str = "monday", schedule: str = "") -> StreamSettings:
    return StreamSettings(rate, parse_schedule(parse_mix(mix), schedule))


def run(
    settings: StreamSettings | Callable[[float], StreamSettings],
    burst: int = 0,
    count: int | None = None,
    work_s: float = 0.0,
    seed: int = 3,
    flow_control: FlowControl | None = None,
) -> Database:
    clock = Clock()
    database = Database(clock, work_s)
    at = (lambda _: settings) if isinstance(settings, StreamSettings) else settings
    stream = Stream(database, cargo(seed), at, flow_control, clock, lambda: None, clock.read)
    assert stream.run(burst, count) == len(database.rows())
    return database


def test_count_rows_at_the_rate() -> None:
    database = run(steered(10), count=100)
    assert [round(at_s, 6) for at_s, _ in database.inserts] == [round(number / 10, 6) for number in range(100)]


def test_high_rate_groups_rows_and_stays_on_time() -> None:
    database = run(steered(2000), count=20_000, work_s=0.004)
    assert len(database.rows()) == 20_000
    assert max(len(rows) for _, rows in database.inserts) > 1
    assert database.clock.now_s == pytest.approx(10, abs=0.1)


def test_burst_comes_first_and_at_once_then_the_rate() -> None:
    database = run(steered(1), burst=2500, count=2510)
    before_the_rate = [rows for at_s, rows in database.inserts if at_s == 0]
    assert sum(map(len, before_the_rate)) == 2500
    assert max(map(len, before_the_rate)) == BATCH_ROWS
    assert database.clock.now_s == pytest.approx(9)


def test_no_rate_ends_after_the_burst() -> None:
    assert len(run(steered(0), burst=30).rows()) == 30
    assert run(steered(0)).rows() == []


def test_count_bounds_the_burst() -> None:
    assert len(run(steered(5), burst=1000, count=7).rows()) == 7


def test_an_outage_is_not_made_up() -> None:
    clock = Clock()
    database = Database(clock)
    insert = database.insert

    def insert_after_an_outage(table: str, columns: tuple[str, ...], rows: list[Row], delay_s: float | None) -> None:
        insert(table, columns, rows, delay_s)
        if len(database.inserts) == 10:
            clock.now_s += 600

    database.insert = insert_after_an_outage  # type: ignore[method-assign,assignment]
    Stream(database, cargo(), lambda _: steered(10), None, clock, lambda: None, clock.read).run(0, 100)
    assert len(database.rows()) == 100
    assert max(len(rows) for _, rows in database.inserts) == 1


def test_stop_ends_it() -> None:
    clock = Clock()
    clock.set()
    stream = Stream(Database(clock), cargo(), lambda _: steered(10), None, clock, lambda: None, clock.read)
    assert stream.run(5, None) == 0


def test_mix_and_schedule_decide_the_data_set() -> None:
    database = run(steered(100, "monday=0.2,tuesday=0.8", "50:monday"), count=10_000)
    early = Counter(row[0] for at_s, rows in database.inserts if at_s < 49.9 for row in rows)
    late = Counter(row[0] for at_s, rows in database.inserts if at_s > 50 for row in rows)
    assert early["tuesday"] / early.total() == pytest.approx(0.8, abs=0.03)
    assert set(late) == {"monday"}


def test_a_seed_repeats_the_picks_however_they_are_grouped() -> None:
    first, again, other = (
        run(steered(rate, "monday=0.5,tuesday=0.5"), count=200, work_s=work_s, seed=seed).rows()
        for rate, work_s, seed in ((50, 0, 1), (1000, 0.03, 1), (50, 0, 2))
    )
    assert first == again
    assert first != other


def test_labels_go_as_the_steering_says() -> None:
    late = replace(steered(10), label_delay_s=LATE_S)
    database = run(lambda elapsed_s: late if elapsed_s >= 5 else steered(10), count=100)
    assert dict(zip((at_s >= 5 for at_s, _ in database.inserts), database.label_delays_s, strict=True)) == {
        False: 0.0,
        True: LATE_S,
    }


def test_a_pause_inserts_nothing_and_ends_without_a_flood() -> None:
    paused = replace(steered(10), paused=True)
    database = run(lambda elapsed_s: paused if 5 <= elapsed_s < 100 else steered(10), count=100)
    times_s = [at_s for at_s, _ in database.inserts]
    assert not [at_s for at_s in times_s if 5 <= at_s < 100]
    assert max(len(rows) for _, rows in database.inserts) == 1
    assert times_s[-1] == pytest.approx(100 + 5, abs=0.5)


def test_a_pause_holds_for_the_burst_too() -> None:
    paused = replace(steered(10), paused=True)
    database = run(lambda elapsed_s: paused if elapsed_s < 30 else steered(10), burst=500, count=500)
    assert min(at_s for at_s, _ in database.inserts) >= 30


@given(rates=st.lists(st.sampled_from([0.5, 3.0, 40.0, 300.0]), min_size=1, max_size=6))
def test_each_rate_is_kept_as_long_as_it_holds(rates: list[float]) -> None:
    each_s, stop_s = 5.0, 5.0 * len(rates)
    clock = Clock()
    database = Database(clock)

    def at(elapsed_s: float) -> StreamSettings:
        if elapsed_s >= stop_s:
            clock.set()
        return steered(rates[min(int(elapsed_s / each_s), len(rates) - 1)])

    Stream(database, cargo(), at, None, clock, lambda: None, clock.read).run(0, None)
    for number, rate in enumerate(rates):
        rows = sum(len(each) for at_s, each in database.inserts if number * each_s <= at_s < (number + 1) * each_s)
        # A turn may be a quarter of a second late to hear of the rate.
        assert rows == pytest.approx(each_s * rate, abs=2 + 0.3 * max(rates))


def test_no_more_rows_are_open_than_the_brake_allows() -> None:
    for limit in (1, 7, 1500):
        flow_control = FlowControl(limit, take_off=lambda: 1)
        database = run(steered(2000), burst=3000, count=4000, work_s=0.01, flow_control=flow_control)
        assert len(database.rows()) == 4000
        assert flow_control.most == limit


def test_after_holding_back_the_pace_starts_anew() -> None:
    gone = iter([0] * 600)
    flow_control = FlowControl(5, take_off=lambda: next(gone, 1000))
    database = run(steered(20), count=200, flow_control=flow_control)
    held_until_s = database.inserts[5][0]
    assert held_until_s > 50
    late = [at_s for at_s, _ in database.inserts[5:]]
    assert [round(each - held_until_s, 6) for each in late] == [round(number / 20, 6) for number in range(195)]


def test_without_rows_due_nobody_is_asked_for_room() -> None:
    flow_control = FlowControl(10, take_off=lambda: 100)
    asked = []
    room = flow_control.available_rows
    flow_control.available_rows = lambda: asked.append(1) or room()  # type: ignore[method-assign,func-returns-value]
    run(steered(0.1), count=5, flow_control=flow_control)
    assert len(asked) == 5
