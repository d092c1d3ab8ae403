"""How the stream runs, and what each command makes of that. Nothing here touches the database."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from common.cli import UserError
from data_generate.control.commands import Command, Kind
from data_generate.control.labels import describe_labels, parse_labels
from data_generate.rows.mixes import Mix, Schedule, parse_mix
from data_generate.settings import HIGHEST_RATE

CheckMix = Callable[[Mix], None]
"""Makes sure that every data set of a mix can be picked from; `UserError` says which cannot and what to do."""


@dataclass(frozen=True)
class StreamSettings:
    """What holds now."""

    rate: float
    """Rows a second; 0 = the stream ends after its burst."""
    schedule: Schedule
    label_delay_s: float | None = 0.0
    """Seconds from a row to its label: 0 = with the row, None = never."""
    paused: bool = False

    def __str__(self) -> str:
        mix = ",".join(f"{name}={fraction:g}" for name, fraction in self.schedule.mixes[0].items())
        origin = mix if len(self.schedule.mixes) == 1 else "data sets by the schedule"
        state = "paused; else " if self.paused else ""
        return f"{state}{self.rate:g} rows/s, {origin}, {describe_labels(self.label_delay_s)}"


@dataclass(frozen=True)
class Rules:
    """What `reset` goes back to, and what checks a `mix`; without `check_mix` there are no mixes and no labels."""

    settings: StreamSettings
    check_mix: CheckMix | None

    def apply(self, current: StreamSettings, command: Command) -> StreamSettings:
        """What holds after `command`. `UserError` says what is allowed instead."""
        try:
            kind = Kind(command.command.strip())
        except ValueError:
            allowed = ", ".join(Kind) if self.check_mix else "rate, pause, resume, reset"
            raise UserError(f"there is no command {command.command!r}. Allowed: {allowed}.") from None
        argument = command.argument.strip()
        if kind in {Kind.pause, Kind.resume, Kind.reset}:
            if argument:
                raise UserError(f"{kind} takes no argument, but {argument!r} was given. Ask for {kind} alone.")
            return self.settings if kind is Kind.reset else replace(current, paused=kind is Kind.pause)
        if kind is Kind.rate:
            return replace(current, rate=_parse_rate(argument))
        if self.check_mix is None:
            raise UserError(
                f"{kind} is for the table cargo, and this generator fills another. Allowed: rate, pause, resume, reset."
            )
        if kind is Kind.labels:
            return replace(current, label_delay_s=parse_labels(argument))
        mix = parse_mix(argument)
        self.check_mix(mix)
        return replace(current, schedule=Schedule((0.0,), (mix,)))

    def replay(self, applied: Iterable[Command]) -> tuple[StreamSettings, list[str]]:
        """What holds after commands that were applied before, in the order of their ids; and those it cannot follow.

        Such a command was right when it was applied; since then a manifest went, or the table is another.
        """
        current, problems = self.settings, []
        for command in sorted(applied, key=lambda each: each.id):
            try:
                current = self.apply(current, command)
            except UserError as error:
                problems.append(f"command {command.id} ({command.command} {command.argument}): {error}")
        return current, problems


def _parse_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    # So written that nan is refused too.
    if not 0 < rate <= HIGHEST_RATE:
        raise UserError(
            f"rate {text!r} is none. Give rows a second, more than 0 and at most {HIGHEST_RATE:g}; to stop: pause."
        )
    return rate
