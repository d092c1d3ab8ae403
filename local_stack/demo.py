"""The demonstration: starts the stack, streams, shows what flows, and ends with an account of every row."""

import signal
import time
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape

from common.cli import UserError
from common.settings import source_database_url, target_database_url
from common.waiting import wait_until
from local_stack import stack, story
from local_stack.figures import Account, Figures, last_committed_id, read_figures, take_account
from local_stack.settings import Settings
from local_stack.status import ServiceState, service_states, states_table
from local_stack.supervision import Supervisor
from local_stack.tables import account_lines, figures_table, links_table

STREAM = {"DATA_GENERATE_RATE": "10", "DATA_GENERATE_MIX": "monday"}
"""What flows when no story is told: no drift."""

SETTLE_TIMEOUT_S = 60.0
"""How long the last rows may take from their commit to their outcome."""

LOOK_EVERY_S = 2.0
"""To ask every service and add up its memory takes a fifth of a core each second."""

PLAIN_LINE_EVERY_S = 10.0
"""How often a line is printed where no terminal shows the live table."""


class Demo:
    """One run of the demonstration. A stack that is up already is watched and left up."""

    def __init__(self, settings: Settings, console: Console, with_story: bool) -> None:
        self._settings = settings
        self._console = console
        self._began = datetime.now(UTC)
        self._story = story.Story(self._began) if with_story else None
        self._first_prediction: datetime | None = None
        self._figures = Figures()
        self._states: list[ServiceState] = []

    def run(self, duration_s: float | None) -> bool:
        """Return whether all went well: each row committed before the end has one outcome, and the story came true."""
        supervisor = Supervisor(self._settings.state_dir)
        own = not supervisor.running()
        if self._story and not own:
            raise UserError(
                "the stack is up already. To watch it: make demo STORY=0; a story begins after make down-local"
            )
        # Asked to end or robbed of its terminal, it takes account and stops the stack as on Ctrl-C.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        if own:
            supervisor = stack.start(self._settings, story.STREAM if self._story else STREAM)
        try:
            self._watch(supervisor, duration_s)
            return self._conclude(supervisor)
        finally:
            if own:
                self._console.print("Stopping the stack; its state is kept.")
                supervisor.shutdown()

    def _watch(self, supervisor: Supervisor, duration_s: float | None) -> None:
        next_line = 0.0
        curtain = story.Curtain(supervisor) if self._story else None
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            try:
                while not self._over(duration_s):
                    self._read(supervisor)
                    if curtain and not curtain.up:
                        curtain.move(self._figures, self._states)
                    self._tell()
                    live.update(self._screen(), refresh=self._console.is_terminal)
                    if not self._console.is_terminal and time.monotonic() >= next_line:
                        self._console.print(self._line(), soft_wrap=True)
                        next_line = time.monotonic() + PLAIN_LINE_EVERY_S
                    time.sleep(LOOK_EVERY_S)
            except KeyboardInterrupt:
                self._console.print("Taking account of every row …")

    def _over(self, duration_s: float | None) -> bool:
        """Whether to end: the story is told or failed, or the time is up. `UserError` when nothing flows."""
        now = datetime.now(UTC)
        if self._first_prediction is None:
            if (now - self._began).total_seconds() > stack.READY_TIMEOUT_S:
                raise UserError("no prediction in time. Start with `make up-local` and ask `make doctor`.")
            return False
        if duration_s is not None and (now - self._first_prediction).total_seconds() >= duration_s:
            return True
        if self._story is None:
            return False
        if (now - self._began).total_seconds() > story.TIMEOUT_S:
            self._story.failure = f"the story was not over after {story.TIMEOUT_S:g} s"
        return self._story.complete or self._story.failure is not None

    def _tell(self) -> None:
        for chapter in self._story.news(target_database_url()) if self._story else []:
            seconds = (chapter.at - self._began).total_seconds()
            self._console.print(f"[bold]{seconds:6.1f} s[/]  {escape(chapter.text)}", soft_wrap=True, highlight=False)

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
        if self._story and self._story.failure:
            self._console.print(
                f"[red]{escape(self._story.failure)}.[/] See `make logs S=model-adapter`.", soft_wrap=True
            )
            return False
        return account.balanced
