"""The demonstration: starts the stack, streams, shows what flows, and ends with an account of every row."""

import signal
import time
from collections.abc import Hashable
from datetime import UTC, datetime

import psycopg2
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape

from common.cli import UserError
from common.settings import source_database_url, target_database_url
from local_stack import stack
from local_stack.demonstration.director import Director, stream_settings
from local_stack.demonstration.drain import Drain
from local_stack.demonstration.figures import FigureReader, StreamTotals
from local_stack.demonstration.story import Story
from local_stack.demonstration.tables import account_lines, figures_table, links_table
from local_stack.inspection import doctor
from local_stack.inspection.account import source_end, subscriber_client
from local_stack.inspection.machine import read_machine
from local_stack.inspection.status import ServiceState, service_states, states_table, work_done
from local_stack.processes.supervision import Supervisor
from local_stack.settings import Settings
from local_stack.stall_detection import STALL_S, StallDetector

GENERATOR = "data-generator"
ADAPTER = "model-adapter"

POLL_INTERVAL_S = 1.0

ASK_SERVICES_EVERY_S = 15.0
"""Once all are ready; until then each look asks those that are not."""

PLAIN_LINE_EVERY_S = 10.0
"""How often a line is printed where no terminal shows the live table."""


class Demo:
    """One run of the demonstration. A stack that is up already is watched and left up."""

    def __init__(self, settings: Settings, console: Console, with_story: bool) -> None:
        self._settings, self._console = settings, console
        self._began = datetime.now(UTC)
        self._story = Story(self._began) if with_story else None
        self._director: Director | None = None
        self._reader = FigureReader(source_database_url(), target_database_url(), self._began)
        self._patience = StallDetector()
        self._figures = StreamTotals()
        self._curtain: datetime | None = None
        self._states: list[ServiceState] = []
        self._ask_services_at = 0.0
        self._failure: str | None = None

    def run(self, duration_s: float | None) -> bool:
        """Return whether all went well: no row was lost or doubled, something always moved, and the story came true."""
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
            self._console.print(f"machine: {read_machine(self._settings.state_dir)}", soft_wrap=True)
            supervisor = stack.start(self._settings, stream_settings())
            self._director = Director(self._story)
        try:
            self._watch(supervisor, duration_s)
            return self._conclude(supervisor)
        finally:
            if own:
                self._console.print("Stopping the stack; its state is kept.")
                supervisor.shutdown()

    def _watch(self, supervisor: Supervisor, duration_s: float | None) -> None:
        next_line = 0.0
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            try:
                while not self._over(duration_s):
                    self._read(supervisor)
                    self._direct()
                    self._tell()
                    live.update(self._screen(), refresh=self._console.is_terminal)
                    if not self._console.is_terminal and time.monotonic() >= next_line:
                        self._console.print(self._line(), soft_wrap=True)
                        next_line = time.monotonic() + PLAIN_LINE_EVERY_S
                    self._lose_patience(supervisor)
                    time.sleep(POLL_INTERVAL_S)
            except KeyboardInterrupt:
                self._console.print("Taking account of every row …")

    def _over(self, duration_s: float | None) -> bool:
        """Whether to end: something failed, the time is up, or the story is told."""
        if self._story and self._story.failure:
            self._failure = f"{self._story.failure}. See `make logs S={ADAPTER}`"
        if self._failure:
            return True
        since = self._curtain or (None if self._director else self._figures.first_prediction)
        if duration_s is not None and since and (datetime.now(UTC) - since).total_seconds() >= duration_s:
            return True
        return self._story is not None and self._story.complete(self._figures)

    def _read(self, supervisor: Supervisor) -> None:
        if not self._all_ready() or time.monotonic() >= self._ask_services_at:
            self._states = service_states(supervisor)
            stack.raise_on_failure(supervisor, self._states)
            self._ask_services_at = time.monotonic() + ASK_SERVICES_EVERY_S
        self._figures = self._reader.read(self._curtain)

    def _all_ready(self) -> bool:
        return bool(self._states) and all(state.good for state in self._states)

    def _direct(self) -> None:
        if self._director is None:
            return
        waiting = self._director.scene == "waiting"
        self._director.move(self._figures, self._all_ready(), self._say)
        if waiting and self._director.scene != "waiting":
            self._curtain = datetime.now(UTC)
        self._failure = self._failure or self._director.refusal

    def _tell(self) -> None:
        # The first thing said is what this machine can process.
        telling = self._story if self._curtain else None
        for chapter in telling.new_events(self._figures, target_database_url()) if telling else []:
            self._say(chapter.text, chapter.at)

    def _say(self, text: str, at: datetime | None = None) -> None:
        seconds = ((at or datetime.now(UTC)) - self._began).total_seconds()
        self._console.print(f"[bold]{seconds:6.1f} s[/]  {escape(text)}", soft_wrap=True, highlight=False)

    def _lose_patience(self, supervisor: Supervisor) -> None:
        """Fail when nothing has moved for long. What has to move depends on what the story waits for."""
        self._patience.see(self._progress(supervisor))
        if self._patience.lost:
            self._failure = f"nothing has moved for {STALL_S:g} s. {doctor.first_broken()}"

    def _progress(self, supervisor: Supervisor) -> Hashable:
        if not self._all_ready():
            pending = [state.name for state in self._states if not state.good]
            return (*pending, self._figures.outcomes, work_done(supervisor, pending))
        if self._story and self._director and self._director.scene == "tuesday" and self._story.noticed:
            # Rows flow whatever becomes of the adaptation, so they say nothing of it.
            return (*map(str, self._story.adaptations), work_done(supervisor, [ADAPTER]))
        return self._figures.outcomes

    def _screen(self) -> Group:
        return Group(figures_table(self._figures), states_table(self._states), links_table())

    def _line(self) -> str:
        now = self._figures
        waiting = ", ".join(state.name for state in self._states if not state.good)
        return (
            f"rows in {now.inserted}, predicted {now.predicted}, dead letters {now.dead_letters}, "
            f"{now.rows_per_second:.1f} rows/s{f'; waiting for {waiting}' if waiting else ''}"
        )

    def _conclude(self, supervisor: Supervisor) -> bool:
        self._figures = self._reader.read(self._curtain)
        self._states = service_states(supervisor, with_memory=True)
        self._console.print(self._screen())
        if self._director:
            supervisor.stop_service(GENERATOR)
            self._director.end()
        try:
            drain = self._drain()
        except psycopg2.OperationalError as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"no account can be taken: {reason}. {doctor.first_broken()}") from error
        if first := self._figures.first_prediction:
            self._console.print(f"first prediction after {(first - self._began).total_seconds():.1f} s")
        memory = sum(state.memory for state in self._states)
        self._console.print(f"resident memory of the whole stack: {memory / 2**30:.2f} GiB")
        for line in account_lines(drain.account):
            self._console.print(line, soft_wrap=True)
        if drain.stalled:
            self._failure = self._failure or f"{drain.stall}. {doctor.first_broken()}"
        if self._failure:
            self._console.print(f"[red]{escape(self._failure)}[/]", soft_wrap=True)
        return drain.account.sound and self._failure is None

    def _drain(self) -> Drain:
        with subscriber_client() as subscriber:
            end = source_end(source_database_url())
            drain = Drain((source_database_url(), target_database_url()), end, subscriber, self._console)
            drain.run()
        return drain
