"""What commands make of the settings."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli import UserError
from data_generate.control.commands import Command, Kind
from data_generate.control.stream_settings import Rules, StreamSettings
from data_generate.rows.mixes import Mix, parse_schedule

SETTINGS = StreamSettings(1.0, parse_schedule({"monday": 1.0}, "60:tuesday"))


def check_mix(mix: Mix) -> None:
    if "wednesday" in mix:
        raise UserError("manifest wednesday.json cannot be read. Make it.")


RULES = Rules(SETTINGS, check_mix)
IRIS = Rules(SETTINGS, None)


def after(*commands: str, rules: Rules = RULES) -> StreamSettings:
    current = SETTINGS
    for text in commands:
        command, _, argument = text.partition(" ")
        current = rules.apply(current, Command(1, command, argument))
    return current


def test_each_command_changes_its_own_part() -> None:
    assert after("rate 36").rate == 36
    assert after("mix monday=0.2,tuesday=0.8").schedule.mixes == ({"monday": 0.2, "tuesday": 0.8},)
    assert after("pause").paused
    assert not after("pause", "resume").paused
    assert [after(f"labels {how}").label_delay_s for how in ("on", "off", "late 90")] == [0, None, 90]
    assert after("rate 5", "pause", "labels off", "mix tuesday", "reset") == SETTINGS
    steered = after("rate 5", "pause", "labels off")
    assert (steered.rate, steered.paused, steered.label_delay_s, steered.schedule) == (5, True, None, SETTINGS.schedule)


def test_a_mix_ends_the_schedule() -> None:
    assert SETTINGS.schedule.at(100) == {"tuesday": 1.0}
    assert after("mix monday").schedule.at(100) == {"monday": 1.0}


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        *(
            (f"rate {text}".strip(), "more than 0 and at most 100000")
            for text in ("", "0", "-1", "nan", "inf", "1e9", "x")
        ),
        ("mix monday=0.5", "fractions that sum to 1"),
        ("mix", "fractions that sum to 1"),
        ("mix wednesday", "Make it"),
        *(
            (f"labels {text}".strip(), "on, off, or late SECONDS")
            for text in ("", "late", "late -1", "late nan", "soon 5")
        ),
        ("labels late 1e9", "at most 86400"),
        ("labels late 5 6", "on, off, or late SECONDS"),
        ("pause 5", "takes no argument"),
        ("halt", "rate, mix, pause, resume, labels, reset"),
        ("", "rate, mix, pause, resume, labels, reset"),
    ],
)
def test_a_wrong_one_is_refused_with_what_is_allowed(command: str, allowed: str) -> None:
    with pytest.raises(UserError, match=re.escape(allowed)):
        after(command)


def test_iris_has_neither_mix_nor_labels() -> None:
    assert after("rate 5", "pause", rules=IRIS).paused
    assert after("rate 5", "reset", rules=IRIS) == SETTINGS
    for command in ("mix monday", "labels off", "halt"):
        with pytest.raises(UserError, match="Allowed: rate, pause, resume, reset"):
            after(command, rules=IRIS)


texts = st.sampled_from(
    ["rate 5", "rate 7", "mix monday", "mix tuesday", "pause", "resume", "labels off", "labels late 5", "reset"]
)


@given(st.lists(texts, max_size=30))
def test_the_newest_of_each_kind_says_all(given_texts: list[str]) -> None:
    commands = [Command(number, *(text.partition(" ")[::2])) for number, text in enumerate(given_texts)]
    newest = {command.command: command for command in commands}
    assert RULES.replay(newest.values()) == (after(*given_texts), [])


def test_what_cannot_be_followed_any_more_is_told_and_left_out() -> None:
    current, problems = RULES.replay([Command(3, "rate", "5"), Command(2, "mix", "wednesday"), Command(1, "pause", "")])
    assert (current.rate, current.paused, current.schedule) == (5, True, SETTINGS.schedule)
    assert problems == ["command 2 (mix wednesday): manifest wednesday.json cannot be read. Make it."]


def test_it_says_how_it_runs() -> None:
    assert str(SETTINGS) == "1 rows/s, data sets by the schedule, labels with the rows"
    assert str(after("rate 5", "mix monday=0.2,tuesday=0.8", "labels late 90", "pause")) == (
        "paused; else 5 rows/s, monday=0.2,tuesday=0.8, labels 90 s late"
    )
    assert str(after("labels off", "mix tuesday")) == "1 rows/s, tuesday=1, no labels"
    assert set(Kind) == {"rate", "mix", "pause", "resume", "labels", "reset"}
