"""Who steers the stream of the demo."""

from datetime import UTC, datetime

import psycopg2
import pytest

from data_generate.control import commands
from local_stack.demonstration.director import MONDAY_ROWS, NOTICED_WITHIN_ROWS, Director
from local_stack.demonstration.figures import StreamTotals
from local_stack.demonstration.story import ENOUGH_ROWS, Story
from local_stack.inspection import machine


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The commands that the generator was given."""
    given: list[tuple[str, str]] = []

    def ask(connection: object, command: str, argument: str, reason: str) -> int:
        given.append((command, argument))
        return len(given)

    class Session:
        def close(self) -> None:
            pass

    monkeypatch.setattr(psycopg2, "connect", lambda *_, **__: Session())
    monkeypatch.setattr(commands, "ask", ask)
    monkeypatch.setattr(commands, "read_result", lambda *_: None)
    monkeypatch.setattr(machine, "measure", lambda: 60.0)
    return given


def predicted(**days: int) -> StreamTotals:
    return StreamTotals(inserted=sum(days.values()), predictions={("1", day): count for day, count in days.items()})


def test_the_scenes_follow_what_has_happened(asked: list[tuple[str, str]]) -> None:
    story, told = Story(datetime.now(UTC)), list[str]()
    director = Director(story)
    director.move(predicted(monday=600), False, told.append)
    director.move(StreamTotals(inserted=600, predictions={("1", "monday"): 300}), True, told.append)
    assert (director.scene, asked) == ("waiting", []), "not ready, or not all predicted"
    director.move(predicted(monday=600), True, told.append)
    assert asked == [("reset", ""), ("mix", "monday"), ("rate", "36")]
    assert told == ["this machine predicts about 60 images a second; the demo streams 36"]
    director.move(predicted(monday=600 + MONDAY_ROWS - 1), True, told.append)
    assert director.scene == "monday"
    director.move(predicted(monday=600 + MONDAY_ROWS), True, told.append)
    assert (director.scene, asked[-1]) == ("tuesday", ("mix", "tuesday"))
    story.adaptations = [(1, "promoted", datetime.now(UTC), "1", "2", "all", 5, "better")]
    director.move(predicted(monday=900, tuesday=700), True, told.append)
    assert (director.scene, asked[-1]) == ("both", ("mix", "monday=0.5,tuesday=0.5"))
    assert not story.complete(predicted(monday=900, tuesday=700))
    both = {("2", "monday"): ENOUGH_ROWS, ("2", "tuesday"): ENOUGH_ROWS}
    assert story.complete(StreamTotals(predictions=both))
    assert not story.complete(StreamTotals(predictions=both | {("2", "monday"): ENOUGH_ROWS - 1}))


def test_a_source_database_that_is_away_is_told_later(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    director = Director(Story(datetime.now(UTC)))
    director.scene = "monday"

    def refuse(*_: object, **__: object) -> None:
        raise psycopg2.OperationalError("the server is starting")

    with monkeypatch.context() as away:
        away.setattr(psycopg2, "connect", refuse)
        director.move(predicted(monday=MONDAY_ROWS), True, print)
        director.end()
    assert (director.scene, asked) == ("monday", [])
    director.move(predicted(monday=MONDAY_ROWS), True, print)
    assert (director.scene, asked) == ("tuesday", [("mix", "tuesday")])


def test_a_drift_that_nobody_notices_ends_the_story(asked: list[tuple[str, str]]) -> None:
    story = Story(datetime.now(UTC))
    director = Director(story)
    director.scene = "tuesday"
    director.move(predicted(tuesday=NOTICED_WITHIN_ROWS), True, print)
    assert story.failure is None
    director.move(predicted(tuesday=NOTICED_WITHIN_ROWS + 1), True, print)
    assert "no drift was noticed" in str(story.failure)


def test_a_refused_command_is_a_failure_with_its_reason(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    director = Director(None)
    director.move(predicted(monday=600), True, print)
    assert asked[-1] == ("rate", "10"), "a plain stream needs no more"
    refused = commands.Command(3, "rate", "10", commands.State.refused, "too much")
    monkeypatch.setattr(commands, "read_result", lambda *_: refused)
    director.move(predicted(monday=700), True, print)
    assert director.refusal == "the generator refused rate 10: too much"
    director.end()
    assert asked[-1] == ("reset", "")
