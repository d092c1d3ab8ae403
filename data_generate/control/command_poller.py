"""What the stream looks at between rows: commands to take up, and labels to deliver."""

import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from common.cli import UserError
from common.health.state import Health
from data_generate.control import commands, labels
from data_generate.control.commands import Command, CommandResult, State
from data_generate.control.stream_settings import Rules, StreamSettings

T = TypeVar("T")

log = logging.getLogger(__name__)
POLL_INTERVAL_S = 0.5


class Database(Protocol):
    """See `SourceDatabase`."""

    def transaction(self, work: Callable[[Any], T]) -> T:
        """Do `work` with a cursor, again and again until it is committed."""


class CommandPoller:
    """Holds no state that is not in the database: what holds is what the applied commands make of the settings.

    So a restart goes on as before, and several generators on one database follow the same commands.
    """

    def __init__(self, database: Database, rules: Rules, health: Health) -> None:
        self._database, self._rules, self._health = database, rules, health
        self._current = rules.settings
        self._next_poll_s = 0.0

    def current_settings(self, elapsed_s: float) -> StreamSettings:
        """What holds now; looks at the database twice a second at most."""
        if elapsed_s >= self._next_poll_s:
            full = self._poll()
            self._next_poll_s = elapsed_s + (0.0 if full else POLL_INTERVAL_S)
        return self._current

    def _poll(self) -> bool:
        """Take up what is pending and deliver a batch of labels; whether that was a full one."""

        def read(cursor: Any) -> tuple[list[Command], list[Command], bool]:
            return commands.latest_applied(cursor), commands.pending(cursor), labels.any_due(cursor)

        applied, pending, labels_due = self._database.transaction(read)
        if pending:
            applied += self._settle(applied, pending)
        current, problems = self._rules.replay(applied)
        self._health.note("steering", "; ".join(problems) or None)
        if current != self._current:
            log.info("from now on: %s, as generator_command says; `reset` goes back to the settings", current)
        self._current = current
        return labels_due and self._database.transaction(labels.deliver) == labels.DELIVERED_AT_ONCE

    def _settle(self, applied: list[Command], pending: list[Command]) -> list[Command]:
        """Note what comes of the pending commands; returns those that are applied."""
        current, _ = self._rules.replay(applied)
        obeyed, settlements = [], []
        for command in pending:
            try:
                current = self._rules.apply(current, command)
                obeyed.append(command)
                settlements.append(CommandResult(command.id, State.applied, str(current)))
            except UserError as error:
                settlements.append(CommandResult(command.id, State.refused, str(error)))
            log.info("command %d (%s %s): %s", command.id, command.command, command.argument, settlements[-1].state)
        self._database.transaction(lambda cursor: commands.record_results(cursor, settlements))
        return obeyed
