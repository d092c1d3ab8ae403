"""Which data sets the rows come from, in what fractions, and from when on."""

import math
import re
from bisect import bisect_right
from dataclasses import dataclass

from common.cli import UserError

SYNTAX = "Write `monday`, or fractions that sum to 1 such as `monday=0.2,tuesday=0.8`."
SCHEDULE_SYNTAX = (
    "Write SECONDS:MIX, several of them separated by `;`, such as `60:monday=0.5,tuesday=0.5;120:tuesday`."
)

Mix = dict[str, float]
"""Fraction of the rows by data set; the fractions sum to 1."""


@dataclass(frozen=True)
class Schedule:
    """Mixes with the second since the start from which each holds; the first holds from 0."""

    starts_s: tuple[float, ...]
    mixes: tuple[Mix, ...]

    def at(self, elapsed_s: float) -> Mix:
        """The mix that holds `elapsed_s` seconds after the start."""
        return self.mixes[max(bisect_right(self.starts_s, elapsed_s) - 1, 0)]

    def datasets(self) -> list[str]:
        """Every data set that is ever picked from, sorted."""
        return sorted({name for mix in self.mixes for name in mix})


def parse_mix(text: str) -> Mix:
    """Read `NAME` or `NAME=FRACTION,…`. Raises `UserError`."""
    mix: Mix = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        # The name becomes a file name: no separators, no dots.
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name in mix:
            raise UserError(f"mix {text!r}: {name!r} is no name of a data set, or is there twice. {SYNTAX}")
        mix[name] = _fraction(text, number) if equals else 1.0
    if not math.isclose(sum(mix.values()), 1.0, abs_tol=1e-6):
        raise UserError(f"mix {text!r}: the fractions sum to {sum(mix.values()):g}, not to 1. {SYNTAX}")
    return mix


def _fraction(text: str, number: str) -> float:
    try:
        fraction = float(number)
    except ValueError:
        fraction = math.nan
    if not 0 <= fraction <= 1:
        raise UserError(f"mix {text!r}: {number!r} is no fraction from 0 to 1. {SYNTAX}")
    return fraction


def parse_schedule(first: Mix, text: str) -> Schedule:
    """`first` from the start, then what `text` says as `SECONDS:MIX;…` in rising order. Raises `UserError`."""
    starts_s, mixes = [0.0], [first]
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        seconds, _, mix = entry.partition(":")
        try:
            start_s = float(seconds)
        except ValueError:
            start_s = math.nan
        if not (math.isfinite(start_s) and start_s >= starts_s[-1]):
            raise UserError(f"schedule entry {entry!r} does not begin with a later time. {SCHEDULE_SYNTAX}")
        starts_s.append(start_s)
        mixes.append(parse_mix(mix))
    return Schedule(tuple(starts_s), tuple(mixes))
