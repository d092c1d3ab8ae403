"""The loop that inserts rows, as fast as it is told to and no faster than they are taken off."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter

from data_generate.control.stream_settings import StreamSettings
from data_generate.rows.row_sources import Row, RowSource
from data_generate.streaming.pacing import Pace

INSERTED = Counter("data_generator_rows_inserted", "Rows committed to the source database.", ["dataset"])

TICK_S = 0.01
"""Shortest time from one insert to the next: at high rates several rows share a transaction."""
LOOP_INTERVAL_S = 0.25
"""Longest time from one turn to the next: commands are waiting for an answer, and the heartbeat goes on."""
HELD_TURN_S = 0.1
BATCH_ROWS = 1000


class Database(Protocol):
    """What the stream needs of the database; see `SourceDatabase`."""

    def insert(self, table: str, columns: tuple[str, ...], rows: list[Row], label_delay_s: float | None) -> None:
        """Insert rows; returns once they are committed."""


class FlowControl(Protocol):
    """What holds the stream back; see `BackPressure`."""

    def available_rows(self) -> int:
        """How many rows may be inserted now; 0 = none."""

    def writes(self, count: int) -> None:
        """Say that `count` rows are being inserted."""


@dataclass
class Stream:
    """Everything that the loop goes by."""

    database: Database
    source: RowSource
    settings: Callable[[float], StreamSettings]
    """What holds that many seconds after the start."""
    flow_control: FlowControl | None
    """None = never hold back."""
    stop: threading.Event
    beat: Callable[[], None]
    clock: Callable[[], float] = time.monotonic

    def run(self, burst: int, count: int | None) -> int:
        """Insert `burst` rows at once, then go on at the rate; end after `count` rows, or on `stop`.

        Without a rate it ends after the burst. Returns the number of rows inserted.
        """
        start_s = self.clock()
        pace: Pace | None = None
        inserted, stood = 0, False
        while not self.stop.is_set():
            self.beat()
            elapsed_s = self.clock() - start_s
            now = self.settings(elapsed_s)
            if now.rate:
                pace = pace or Pace(now.rate)
                pace.change(now.rate, elapsed_s)
                if stood:
                    pace.restart(elapsed_s)
            in_burst = inserted < burst
            due = 0 if now.paused else burst - inserted if in_burst else pace.due(elapsed_s) if pace else 0
            if count is not None:
                due = min(due, count - inserted)
            room = self.flow_control.available_rows() if self.flow_control and due else due
            if rows := self.source.pick(min(due, room, BATCH_ROWS), now.schedule.at(elapsed_s)):
                self._insert(rows, now.label_delay_s)
                inserted += len(rows)
            if inserted == count or (pace is None and inserted >= burst):
                break
            if pace and not in_burst:
                pace.take(len(rows))
            held = due > 0 and room <= 0
            stood = held or now.paused
            if held:
                self.stop.wait(HELD_TURN_S)
            elif now.paused:
                self.stop.wait(LOOP_INTERVAL_S)
            elif pace and inserted >= burst:
                self.stop.wait(min(max(pace.wait_s(self.clock() - start_s), TICK_S), LOOP_INTERVAL_S))
        return inserted

    def _insert(self, rows: list[Row], label_delay_s: float | None) -> None:
        if self.flow_control:
            self.flow_control.writes(len(rows))
        self.database.insert(self.source.table, self.source.columns, rows, label_delay_s)
        for row in rows:
            INSERTED.labels(self.source.origin(row)).inc()
