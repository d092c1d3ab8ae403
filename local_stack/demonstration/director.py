"""Steers the stream of the demo: asks this machine what it carries, and commands the generator accordingly.

The stream goes by what has happened, not by seconds: a slow machine sees the same story, only later.
"""

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Literal

import psycopg2

from common.settings import local_port, source_database_url
from data_generate.control import commands
from local_stack.demonstration.figures import StreamTotals
from local_stack.demonstration.story import Story
from local_stack.inspection import machine

Scene = Literal["waiting", "monday", "tuesday", "both"]

STREAM = {
    # Until the director speaks: just enough to see that rows flow.
    "DATA_GENERATE_RATE": "1",
    "DATA_GENERATE_MIX": "monday",
    "DATA_GENERATE_SCHEDULE": "",
    "DATA_GENERATE_SUBSCRIBER_URL": "http://127.0.0.1:{port}",
    "DATA_GENERATE_MAX_OPEN_ROWS": "120",
}
"""Three seconds of the fastest stream may be on their way; behind a slower part the generator holds back."""

PLAIN_RATE = 10.0
"""Rows a second when no story is told."""

MONDAY_ROWS = 300
"""Of monday, before tuesday begins: the drift monitor has seen several windows without drift."""

NOTICED_WITHIN_ROWS = 1500
"""Of tuesday; a drift that is not noticed by then is not noticed at all."""

WHO = "make demo"


def stream_settings() -> dict[str, str]:
    """The generator's settings for a demo."""
    return {name: value.format(port=local_port(9103)) for name, value in STREAM.items()}


class Director:
    """Moves from scene to scene; `scene` is the present one. Without a `story` it stays with monday."""

    def __init__(self, story: Story | None) -> None:
        self._story = story
        self._rate = machine.FASTEST_STREAM if story else PLAIN_RATE
        self._monday_before = 0
        self._last_command: int | None = None
        self.scene: Scene = "waiting"
        self.refusal: str | None = None
        """What the generator refused, and why: then nothing will come of the story."""

    def move(self, figures: StreamTotals, all_ready: bool, tell: Callable[[str], None]) -> None:
        """Look at what has happened, and command what comes next. A source database that is away is told later."""
        with suppress(psycopg2.OperationalError):
            self._hear()
            self._direct(figures, all_ready, tell)

    def _direct(self, figures: StreamTotals, all_ready: bool, tell: Callable[[str], None]) -> None:
        if self.scene == "waiting":
            if all_ready and figures.outcomes >= figures.inserted - 2 and figures.inserted > 0:
                self._begin(figures, tell)
        elif self._story is None:
            return
        elif self.scene == "monday" and figures.of("monday") >= self._monday_before + MONDAY_ROWS:
            self._command([("mix", "tuesday")], "the pictures change")
            self.scene = "tuesday"
        elif self.scene == "tuesday" and self._story.promoted is not None:
            self._command([("mix", "monday=0.5,tuesday=0.5")], "to see that nothing was forgotten")
            self.scene = "both"
        elif self.scene == "tuesday" and not self._story.noticed and figures.of("tuesday") > NOTICED_WITHIN_ROWS:
            self._story.failure = f"no drift was noticed in {NOTICED_WITHIN_ROWS} images of tuesday"

    def end(self) -> None:
        """The next start shall stream as the settings say; where nobody can be told, the next demo says so first."""
        with suppress(psycopg2.OperationalError):
            self._command([("reset", "")], "the demo is over")

    def _begin(self, figures: StreamTotals, tell: Callable[[str], None]) -> None:
        try:
            measured = machine.measure()
        except machine.NotMeasured as error:
            tell(f"not measured yet: {error}")
            return
        tell(machine.verdict(measured, self._rate))
        rate = machine.stream_rate(measured, self._rate)
        self._monday_before = figures.of("monday")
        self._command([("reset", ""), ("mix", "monday"), ("rate", f"{rate:g}")], "what this machine can process")
        self.scene = "monday"

    def _command(self, wanted: Sequence[tuple[str, str]], reason: str) -> None:
        with closing(psycopg2.connect(source_database_url(), application_name=WHO, connect_timeout=5)) as connection:
            for command, argument in wanted:
                self._last_command = commands.ask(connection, command, argument, f"{WHO}: {reason}")

    def _hear(self) -> None:
        """What came of the last command."""
        if self._last_command is None:
            return
        with closing(psycopg2.connect(source_database_url(), application_name=WHO, connect_timeout=5)) as connection:
            answer = commands.read_result(connection, self._last_command)
        if answer is not None:
            self._last_command = None
            if answer.state is commands.State.refused:
                self.refusal = f"the generator refused {answer.command} {answer.argument}: {answer.result}"
