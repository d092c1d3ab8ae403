"""What the demo tells: the data drifts, the platform notices, retrains, proves the new model better and swaps it in.

Nothing here makes it happen. The rows are read that the services write, so the same could be told of any other run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg2
from psycopg2.extensions import cursor as Cursor

from common.cli import UserError
from local_stack.figures import Figures, reader
from local_stack.status import ServiceState
from local_stack.supervision import Supervisor

GENERATOR = "data-generator"

STREAM = {
    "DATA_GENERATE_RATE": "40",
    "DATA_GENERATE_MIX": "monday",
    # Seconds since the curtain rises. At the end both days, to see that nothing was forgotten.
    "DATA_GENERATE_SCHEDULE": "20:tuesday;130:monday=0.5,tuesday=0.5",
}

ENOUGH_ROWS = 200
"""Rows of each day that the new model must have predicted before the story ends."""

TIMEOUT_S = 600.0
"""From the start of the demo; the story takes some 200 s on two cores, and longer on a machine that has other work."""

BEGINNINGS = """
select dataset, model_version, min(predicted_at), count(*)
from cargo_prediction where label is not null
group by dataset, model_version order by min(predicted_at)
"""

ALARMS = """
select distinct on (alarm.model_version, alarm.detector)
    alarm.id, alarm.began_at, alarm.detector, alarm.score, alarm.threshold,
    (select count(*) from cargo_prediction
     where dataset = 'tuesday' and model_version = alarm.model_version
        and (predicted_at, id) <= (select predicted_at, id from cargo_prediction where id = alarm.last_id))
from drift_alarm alarm order by alarm.model_version, alarm.detector, alarm.id
"""

ADAPTATIONS = """
select id, state, coalesce(finished_at, updated_at), champion_version, challenger_version, strategy, images, reason
from adaptation order by id
"""


@dataclass(frozen=True)
class Chapter:
    """Something that happened at a time; `key` tells chapters apart."""

    key: str
    at: datetime
    text: str


class Curtain:
    """Holds the stream back until every service is ready, so that rows reach the model in the order of the story.

    The first rows must come before that: the first model is trained on them.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._down = False
        self.up = False

    def move(self, figures: Figures, states: Sequence[ServiceState]) -> None:
        """Lower it once the first rows are in; raise it once all of them are predicted."""
        if not self._down and figures.inserted > 0:
            self._supervisor.stop_service(GENERATOR)
            self._down = True
            return
        ready = all(state.state in {"ready", "done"} for state in states if state.name != GENERATOR)
        if not self.up and ready and figures.predicted + figures.dead_letters >= figures.inserted > 0:
            self._supervisor.start_service(GENERATOR)
            self.up = True


class Story:
    """Remembers what was told since it `began`. It is told once a stack: afterwards the model knows tuesday."""

    def __init__(self, began: datetime) -> None:
        self._began = began
        self._told: set[str] = set()
        self.complete = False
        self.failure: str | None = None

    def news(self, target_url: str) -> list[Chapter]:
        """What happened since the last call, in order; nothing while the tables are not there.

        `UserError` when this stack noticed a drift before.
        """
        try:
            chapters = self._read(target_url)
        except (psycopg2.OperationalError, psycopg2.errors.UndefinedTable):
            return []
        if any(chapter.key.startswith("alarm") and chapter.at < self._began for chapter in chapters):
            raise UserError(
                "this stack has told its story: its model knows tuesday already. Begin anew with `make clean-local`, "
                "or stream without the story: make demo STORY=0"
            )
        fresh = sorted((chapter for chapter in chapters if chapter.key not in self._told), key=lambda each: each.at)
        self._told |= {chapter.key for chapter in fresh}
        return fresh

    def _read(self, target_url: str) -> list[Chapter]:
        with reader(target_url) as connection, connection.cursor() as cursor:
            chapters = [*self._alarms(cursor), *self._adaptations(cursor)]
            promoted = {chapter.key.split()[1] for chapter in chapters if chapter.key.startswith("promoted")}
            return [*chapters, *self._days(cursor, promoted)]

    def _alarms(self, cursor: Cursor) -> Iterator[Chapter]:
        cursor.execute(ALARMS)
        for number, at, detector, score, threshold, images in cursor.fetchall():
            yield Chapter(
                f"alarm {number}",
                at,
                f"drift noticed by {detector}: score {score:.3f} above {threshold:.3f}, {images} images of tuesday in",
            )

    def _adaptations(self, cursor: Cursor) -> Iterator[Chapter]:
        cursor.execute(ADAPTATIONS)
        for number, state, at, champion, challenger, strategy, images, reason in cursor.fetchall():
            if state == "collecting":
                yield Chapter(f"collecting {number}", at, "the alarm holds: collecting labelled rows of tuesday")
            elif state == "training":
                yield Chapter(f"training {number}", at, f"training on {images} images of tuesday, strategy {strategy}")
            elif state == "judging":
                yield Chapter(f"judging {number}", at, f"version {challenger} challenges version {champion}")
            elif state == "promoted":
                yield Chapter(f"promoted {challenger}", at, f"version {challenger} is promoted: {reason}")
            else:
                self.failure = f"adaptation {number} was {state}: {reason}"
                yield Chapter(f"ended {number}", at, self.failure)

    def _days(self, cursor: Cursor, promoted: set[str]) -> Iterator[Chapter]:
        cursor.execute(BEGINNINGS)
        rows = cursor.fetchall()
        for dataset, version, began_at, _ in rows:
            yield Chapter(f"began {dataset} {version}", began_at, f"version {version} meets {dataset}")
        well_known = {(version, dataset) for dataset, version, _, count in rows if count >= ENOUGH_ROWS}
        self.complete = any({(version, "monday"), (version, "tuesday")} <= well_known for version in promoted)
