"""The table `adaptation`: which training run answers which alarm, how far it is, and the lock that lets in only one."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from common.cli import UserError
from common.postgres import Connection

State = Literal["collecting", "training", "judging", "promoted", "rejected", "failed"]
Outcome = Literal["promoted", "rejected", "failed"]

ATTEMPTS = 3
"""A run that is cut off this often is given up."""


@dataclass(frozen=True)
class Alarm:
    """An episode of drift: what the version that served made of the rows from `first_id` on."""

    id: int
    model_version: str
    first_id: int


@contextmanager
def adaptation_lock(connection: Connection, model_name: str) -> Iterator[bool]:
    """Yield whether this connection holds the lock of `model_name`'s adaptation; it is let go at the end.

    The database lets it go by itself when the connection ends, however the process died.
    """
    key = ("select pg_{}(hashtext('cargo adaptation'), hashtext(%s))", (model_name,))
    with connection.cursor() as cursor:
        cursor.execute(key[0].format("try_advisory_lock"), key[1])
        (held,) = cursor.fetchone() or (False,)
    try:
        yield bool(held)
    finally:
        if held and not connection.closed:
            with connection.cursor() as cursor:
                cursor.execute(key[0].format("advisory_unlock"), key[1])


def is_confirmed(connection: Connection, alarm_id: int, confirm_s: float) -> bool | None:
    """Whether the alarm was open for `confirm_s`; None while it is open and younger than that."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select coalesce(ended_at, now()) - began_at >= make_interval(secs => %s), ended_at is null"
            " from drift_alarm where id = %s",
            (confirm_s, alarm_id),
        )
        long_enough, is_open = cursor.fetchone() or (False, False)
    return True if long_enough else None if is_open else False


def read_alarm(connection: Connection, alarm_id: int) -> Alarm:
    """The alarm of that number; `UserError` when there is none."""
    with connection.cursor() as cursor:
        cursor.execute("select id, model_version, first_id from drift_alarm where id = %s", (alarm_id,))
        row = cursor.fetchone()
    if row is None:
        raise UserError(f"there is no alarm {alarm_id} in table drift_alarm")
    return Alarm(*row)


class Run:
    """One row of the table. Its connection holds the lock: once that is lost, nothing is written any more."""

    def __init__(self, connection: Connection, alarm_id: int) -> None:
        self._connection, self._alarm_id = connection, alarm_id

    def begin(self, champion_version: str, strategy: str) -> None:
        """Note a first or a further attempt. `UserError` when the alarm was answered already."""
        written = self._write(
            "insert into adaptation as run (alarm_id, state, champion_version, strategy)"
            " values (%s, 'collecting', %s, %s)"
            " on conflict (alarm_id) do update set state = 'collecting', attempts = run.attempts + 1,"
            " champion_version = excluded.champion_version, strategy = excluded.strategy, challenger_version = null,"
            " images = null, wanted = null, steps = '{}', updated_at = now() where run.finished_at is null",
            (self._alarm_id, champion_version, strategy),
        )
        if not written:
            raise UserError(f"alarm {self._alarm_id} was answered by a run already; table adaptation has its result")

    def collecting(self, images: int, wanted: int) -> None:
        """So many of those wanted are there."""
        self._write(
            "update adaptation set images = %s, wanted = %s, updated_at = now() where alarm_id = %s",
            (images, wanted, self._alarm_id),
        )

    def took(self, step: str, seconds: float) -> None:
        """How long a step took that has come to its end."""
        self._write(
            "update adaptation set steps = steps || jsonb_build_object(%s::text, %s::numeric), updated_at = now()"
            " where alarm_id = %s",
            (step, round(seconds, 2), self._alarm_id),
        )

    def training(self, images: int) -> None:
        """That many images were collected."""
        self._step("training", "images", images)

    def judging(self, challenger_version: str) -> None:
        """The challenger is registered."""
        self._step("judging", "challenger_version", challenger_version)

    def judged(self, figures: dict[str, Any]) -> None:
        """What the gate measured."""
        self._step("judging", "gate", json.dumps(figures))

    def finish(self, outcome: Outcome, reason: str) -> None:
        """The end, and why."""
        self._write(
            "update adaptation set state = %s, reason = %s, updated_at = now(), finished_at = now()"
            " where alarm_id = %s and finished_at is null",
            (outcome, reason, self._alarm_id),
        )

    def record_interruption(self, reason: str) -> None:
        """The run ends before it is finished; it counts as an attempt."""
        self._write(
            "update adaptation set reason = %s, updated_at = now() where alarm_id = %s", (reason, self._alarm_id)
        )

    def record_stop(self) -> None:
        """The run was told to stop; it is no attempt."""
        self._write(
            "update adaptation set attempts = attempts - 1, reason = 'stopped', updated_at = now() where alarm_id = %s",
            (self._alarm_id,),
        )

    def _step(self, state: State, column: Literal["images", "challenger_version", "gate"], value: object) -> None:
        self._write(
            f"update adaptation set state = %s, {column} = %s, updated_at = now() where alarm_id = %s",  # noqa: S608
            (state, value, self._alarm_id),
        )

    def _write(self, statement: str, values: Sequence[object]) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.rowcount
