"""What the demo tells: the data drifts, the platform notices, retrains, proves the new model better and swaps it in.

Nothing here makes it happen. The rows are read that the services write, so the same could be told of any other run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2
from psycopg2.extensions import cursor as Cursor

from common.cli import UserError
from local_stack.demonstration.figures import StreamTotals
from local_stack.inspection.account import read_only_session

ENOUGH_ROWS = 200
"""Rows of each day that the new model must have predicted before the story ends."""

ALARMS = """
select distinct on (alarm.model_version, alarm.detector)
    alarm.id, alarm.began_at, alarm.detector, alarm.score, alarm.threshold,
    (select count(*) from cargo_prediction
     where dataset = 'tuesday' and model_version = alarm.model_version
        and (predicted_at, id) <= (select predicted_at, id from cargo_prediction where id = alarm.last_id))
from drift_alarm alarm where not alarm.id = any(%s) order by alarm.model_version, alarm.detector, alarm.id
"""

ADAPTATIONS = """
select id, state, coalesce(finished_at, updated_at), champion_version, challenger_version, strategy, images, reason
from adaptation order by id
"""


MEETING = """
select predicted_at from cargo_prediction where predicted_at > %s and model_version = %s and dataset = %s
order by predicted_at limit 1
"""


@dataclass(frozen=True)
class StoryEvent:
    """Something that happened at a time; `key` tells chapters apart."""

    key: str
    at: datetime
    text: str


class Story:
    """Remembers what was told since it `began`. It is told once a stack: then the model has seen tuesday."""

    def __init__(self, began: datetime) -> None:
        self._began = began
        self._told: set[str] = set()
        self._alarms: list[int] = []
        self.adaptations: list[tuple[Any, ...]] = []
        """The rows of table adaptation as last read."""
        self.failure: str | None = None

    @property
    def noticed(self) -> bool:
        """Whether an alarm was raised."""
        return bool(self._alarms)

    @property
    def promoted(self) -> str | None:
        """The challenger that took the champion's place."""
        return next((str(row[4]) for row in self.adaptations if row[1] == "promoted"), None)

    def complete(self, figures: StreamTotals) -> bool:
        """Whether the new model has predicted enough of both days."""
        return self.promoted is not None and all(
            figures.of(dataset, self.promoted) >= ENOUGH_ROWS for dataset in ("monday", "tuesday")
        )

    def new_events(self, figures: StreamTotals, target_url: str) -> list[StoryEvent]:
        """What happened since the last call, in order; nothing while the tables are not there.

        `UserError` when this stack noticed a drift before.
        """
        try:
            with read_only_session(target_url) as connection, connection.cursor() as cursor:
                chapters = [
                    *self._meetings(figures, cursor),
                    *self._new_alarms(cursor),
                    *self._new_states(cursor),
                ]
        except (psycopg2.OperationalError, psycopg2.errors.UndefinedTable):
            chapters = []
        if any(chapter.key.startswith("alarm") and chapter.at < self._began for chapter in chapters):
            raise UserError(
                "this stack has run the demo before: its model has seen tuesday. Start again with `make clean-local`, "
                "or stream without the story: make demo STORY=0"
            )
        fresh = [chapter for chapter in chapters if chapter.key not in self._told]
        self._told |= {chapter.key for chapter in fresh}
        return sorted(fresh, key=lambda chapter: chapter.at)

    def _new_alarms(self, cursor: Cursor) -> Iterator[StoryEvent]:
        cursor.execute(ALARMS, (self._alarms,))
        for number, at, detector, score, threshold, images in cursor.fetchall():
            self._alarms.append(number)
            yield StoryEvent(
                f"alarm {number}",
                at,
                f"drift noticed by {detector}: score {score:.3f} above {threshold:.3f}, {images} images of tuesday in",
            )

    def _new_states(self, cursor: Cursor) -> Iterator[StoryEvent]:
        cursor.execute(ADAPTATIONS)
        self.adaptations = cursor.fetchall()
        for number, state, at, champion, challenger, strategy, images, reason in self.adaptations:
            if state == "collecting":
                yield StoryEvent(
                    f"collecting {number}", at, "the alarm is confirmed: collecting labelled rows of tuesday"
                )
            elif state == "training":
                yield StoryEvent(
                    f"training {number}", at, f"training on {images} images of tuesday, strategy {strategy}"
                )
            elif state == "judging":
                yield StoryEvent(f"judging {number}", at, f"version {challenger} is compared with version {champion}")
            elif state == "promoted":
                yield StoryEvent(f"promoted {challenger}", at, f"version {challenger} is promoted: {reason}")
            else:
                self.failure = f"adaptation {number} was {state}: {reason}"
                yield StoryEvent(f"ended {number}", at, self.failure)

    def _meetings(self, figures: StreamTotals, cursor: Cursor) -> Iterator[StoryEvent]:
        for version, dataset in figures.predictions:
            key = f"began {dataset} {version}"
            if key not in self._told:
                cursor.execute(MEETING, (self._began, version, dataset))
                (at,) = cursor.fetchone() or (None,)
                if at is not None:
                    yield StoryEvent(key, at, f"version {version} predicts {dataset} for the first time")
