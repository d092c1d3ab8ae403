"""The table `generator_command`: how a running generator is asked for something, and how it says what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from common.postgres import Connection

PENDING_AT_ONCE = 100
"""Pending commands that are taken up in one look; the rest follow in the next."""


class Kind(StrEnum):
    """What can be asked for."""

    rate = "rate"
    mix = "mix"
    pause = "pause"
    resume = "resume"
    labels = "labels"
    reset = "reset"


class State(StrEnum):
    """How far a command has come."""

    pending = "pending"
    applied = "applied"
    refused = "refused"


@dataclass(frozen=True)
class Command:
    """One row. `command` is whatever somebody wrote there; a `Kind` only once it is applied."""

    id: int
    command: str
    argument: str
    state: State = State.pending
    result: str | None = None


@dataclass(frozen=True)
class CommandResult:
    """What came of the pending command `id`."""

    id: int
    state: State
    result: str


def ask(connection: Connection, command: str, argument: str = "", reason: str = "") -> int:
    """Ask for `command` and commit; returns its id for `read_result`. The generator says whether it is a right one."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into generator_command (command, argument, reason) values (%s, %s, %s) returning id",
            (command, argument, reason),
        )
        (number,) = cursor.fetchone() or (0,)
        return int(number)


def read_result(connection: Connection, number: int) -> Command | None:
    """The command with its result; None while no generator has taken it up."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select id, command, argument, state, result from generator_command where id = %s and state <> 'pending'",
            (number,),
        )
        row = cursor.fetchone()
        return _command(row) if row else None


def pending(cursor: Any) -> list[Command]:
    """The oldest pending commands, in order."""
    cursor.execute(
        "select id, command, argument, state, result from generator_command where state = 'pending'"
        " order by id limit %s",
        (PENDING_AT_ONCE,),
    )
    return [_command(row) for row in cursor.fetchall()]


def latest_applied(cursor: Any) -> list[Command]:
    """The newest applied command of each kind, in order: six look-ups in an index, however many there ever were."""
    cursor.execute(
        "select found.* from unnest(%s) as kinds (command) cross join lateral ("
        "select id, command, argument, state, result from generator_command"
        " where command = kinds.command and state = 'applied' order by id desc limit 1"
        ") as found order by found.id",
        ([kind.value for kind in Kind],),
    )
    return [_command(row) for row in cursor.fetchall()]


def record_results(cursor: Any, settlements: Sequence[CommandResult]) -> None:
    """Note what came of pending commands; of one that is settled already, nothing changes."""
    cursor.executemany(
        "update generator_command set state = %s, result = %s, settled_at = now() where id = %s and state = 'pending'",
        [(each.state, each.result, each.id) for each in settlements],
    )


def _command(row: Sequence[Any]) -> Command:
    number, command, argument, state, result = row
    return Command(number, command, argument, State(state), result)
