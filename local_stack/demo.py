"""The demonstration: starts the stack, streams, shows what flows, and ends with an account of every row."""

import signal
import time
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live

from common.cli import UserError
from common.settings import source_database_url, target_database_url
from common.waiting import wait_until
from local_stack import stack
from local_stack.figures import Account, Figures, last_committed_id, read_figures, take_account
from local_stack.settings import Settings
from local_stack.status import ServiceState, service_states, states_table
from local_stack.supervision import Supervisor
from local_stack.tables import account_lines, figures_table, links_table

STREAM = {
    # Half of what arrives is corrupted, so that both accuracies are on the screen.
    "DATA_GENERATE_RATE": "10",
    "DATA_GENERATE_MIX": "monday=0.5,tuesday=0.5",
}

SETTLE_TIMEOUT_S = 60.0
"""How long the last rows may take from their commit to their outcome."""

PLAIN_LINE_EVERY_S = 10.0
"""How often a line is printed where no terminal shows the live table."""


class Demo:
    """One run of the demonstration. A stack that is up already is watched and left up."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._began = datetime.now(UTC)
        self._first_prediction: datetime | None = None
        self._figures = Figures()
        self._states: list[ServiceState] = []

    def run(self, duration_s: float | None) -> bool:
        """Return whether every row committed before the end has exactly one prediction or dead letter."""
        supervisor = Supervisor(self._settings.state_dir)
        own = not supervisor.running()
        # Asked to end or robbed of its terminal, it takes account and stops the stack as on Ctrl-C.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        if own:
            supervisor = stack.start(self._settings, STREAM)
        try:
            self._watch(supervisor, duration_s)
            return self._conclude(supervisor)
        finally:
            if own:
                self._console.print("Stopping the stack; its state is kept.")
                supervisor.shutdown()

    def _watch(self, supervisor: Supervisor, duration_s: float | None) -> None:
        ready_by = time.monotonic() + stack.READY_TIMEOUT_S
        stream_until: float | None = None
        next_line = 0.0
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            try:
                while stream_until is None or time.monotonic() < stream_until:
                    self._read(supervisor)
                    live.update(self._screen(), refresh=self._console.is_terminal)
                    if not self._console.is_terminal and time.monotonic() >= next_line:
                        self._console.print(self._line(), soft_wrap=True)
                        next_line = time.monotonic() + PLAIN_LINE_EVERY_S
                    if self._first_prediction and stream_until is None:
                        stream_until = time.monotonic() + (duration_s or float("inf"))
                    if not self._first_prediction and time.monotonic() > ready_by:
                        raise UserError("no prediction in time. Start with `make up-local` and ask `make doctor`.")
                    time.sleep(1)
            except KeyboardInterrupt:
                self._console.print("Taking account of every row …")

    def _read(self, supervisor: Supervisor) -> None:
        self._states = service_states(supervisor)
        stack.raise_on_failure(supervisor, self._states)
        self._figures = read_figures(source_database_url(), target_database_url(), self._began, self._first_prediction)
        self._first_prediction = self._first_prediction or self._figures.first_prediction

    def _screen(self) -> Group:
        return Group(figures_table(self._figures), states_table(self._states), links_table())

    def _line(self) -> str:
        now = self._figures
        waiting = ", ".join(state.name for state in self._states if state.state not in {"ready", "done"})
        return (
            f"rows in {now.inserted}, predicted {now.predicted}, dead letters {now.dead_letters}, "
            f"{now.rows_per_second:.1f} rows/s{f'; waiting for {waiting}' if waiting else ''}"
        )

    def _conclude(self, supervisor: Supervisor) -> bool:
        until = last_committed_id(source_database_url())

        def settled() -> Account | None:
            account = take_account(source_database_url(), target_database_url(), until)
            return account if account.balanced else None

        try:
            account = wait_until(settled, "an outcome for every row", SETTLE_TIMEOUT_S)
        except UserError:
            account = take_account(source_database_url(), target_database_url(), until)
        self._read(supervisor)
        seconds = (self._first_prediction - self._began).total_seconds() if self._first_prediction else None
        memory = sum(state.memory for state in self._states)
        self._console.print(self._screen())
        for line in account_lines(account, seconds, memory):
            self._console.print(line, soft_wrap=True)
        return account.balanced
