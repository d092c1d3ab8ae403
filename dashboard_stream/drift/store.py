"""What the drift monitor reads from and writes to the target database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import Json

from common.pictures.embeddings import EMBEDDING_BYTES, project, unpack
from dashboard_stream.clients.target_database import DatabaseUnavailable, TargetDatabase
from dashboard_stream.drift.checks import ALARMING_DETECTORS, Check, Detector, evidence
from dashboard_stream.drift.sliding_window import PredictionRow, Window

MAX_LATENESS = timedelta(seconds=60)
"""A row may be stored so long after one that was predicted later: another subscriber was faster."""

PAGE_ROWS = 500
"""Some 1.3 MB with their embeddings."""

COLUMNS = """
select p.id, p.predicted_at, p.dataset, p.image_path, p.target, p.label, p.confidence, p.model_version, e.embedding
from cargo_prediction p
left join cargo_prediction_embedding e on e.id = p.id
"""

NEWER = f"""{COLUMNS}
where p.predicted_at >= %(since)s
    and ((p.predicted_at, p.id) > (%(predicted_at)s, %(id)s) or not p.id = any(%(counted)s))
order by p.predicted_at, p.id limit {PAGE_ROWS}
"""

UP_TO = f"""{COLUMNS}
where (p.predicted_at, p.id) <= (%s, %s) order by p.predicted_at desc, p.id desc limit %s
"""

COUNTED = """
select predicted_at, id from cargo_prediction
where predicted_at >= %s and (predicted_at, id) <= (%s, %s) order by predicted_at, id
"""

CALM_CHECKS = """
select count(*) from drift
where model_version = %(version)s and detector = %(detector)s and threshold is not null and checked_at > (
    select max(checked_at) from drift
    where model_version = %(version)s and detector = %(detector)s and score > (usual + threshold) / 2
)
"""

RECORD = """
insert into drift
    (model_version, detector, window_first_id, window_last_id, window_size, score, usual, threshold, alarm, checked_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp())
on conflict (model_version, detector, window_last_id) do update set
    window_first_id = excluded.window_first_id, window_size = excluded.window_size, score = excluded.score,
    usual = excluded.usual, threshold = excluded.threshold, alarm = excluded.alarm, checked_at = excluded.checked_at
"""

# Looked at beforehand: a conflict alone would use up a number at each check.
OPEN = """
insert into drift_alarm (detector, model_version, first_id, last_id, score, threshold, evidence)
select %(detector)s, %(version)s, %(first)s, %(last)s, %(score)s, %(threshold)s, %(evidence)s
where not exists (
    select from drift_alarm where model_version = %(version)s and detector = %(detector)s and ended_at is null
)
"""

CLOSE = """
update drift_alarm set ended_at = clock_timestamp(), end_reason = %s
where model_version = %s and detector = %s and ended_at is null
"""

CLOSE_OTHERS = """
update drift_alarm set ended_at = clock_timestamp(), end_reason = 'version ' || %(version)s || ' serves'
where model_version <> %(version)s and ended_at is null
"""

MOVE_CURSOR = """
insert into drift_cursor (predicted_at, id) values (%s, %s)
on conflict (one) do update set predicted_at = excluded.predicted_at, id = excluded.id
"""

ALONE = "select pg_try_advisory_lock(hashtext('drift monitor of ' || current_schema()))"

Position = tuple[datetime, int]


@dataclass(frozen=True)
class Progress:
    """Counting goes on after `place`, or with the oldest row of all where it is None.

    `window` are the last predictions up to there, `counted` the places of the last minute, both oldest first.
    """

    place: Position | None
    window: list[PredictionRow]
    counted: list[Position]


class DriftStore:
    """Each method is one transaction and raises `DatabaseUnavailable`; after that, begin again with `resume`."""

    def __init__(self, database: TargetDatabase) -> None:
        self._database = database

    def resume(self, window: int) -> Progress:
        """How far counting has come. At the very first time it begins with the last `window` predictions.

        Holds a lock until the connection ends: of several monitors one counts and the others find it away.
        """
        with self._database.transaction() as cursor:
            cursor.execute(ALONE)
            if cursor.fetchone() != (True,):
                raise DatabaseUnavailable("another drift monitor is at work; this one takes over when it ends")
            cursor.execute("select predicted_at, id from drift_cursor")
            place = cursor.fetchone() or _before_the_last(cursor, window)
            if place is None:
                return Progress(None, [], [])
            cursor.execute(UP_TO, (*place, window))
            rows = _predicted(cursor)
            cursor.execute(COUNTED, (place[0] - MAX_LATENESS, *place))
            return Progress(place, rows[::-1], cursor.fetchall())

    def newer(self, place: Position | None, counted: Sequence[int]) -> list[PredictionRow]:
        """Rows that were not counted yet, oldest first; `counted` are the ids of the last minute before `place`."""
        with self._database.transaction() as cursor:
            if place is None:
                cursor.execute(f"{COLUMNS} order by p.predicted_at, p.id limit {PAGE_ROWS}")
            else:
                places = {
                    "since": place[0] - MAX_LATENESS,
                    "predicted_at": place[0],
                    "id": place[1],
                    "counted": list(counted),
                }
                cursor.execute(NEWER, places)
            return _predicted(cursor)

    def calm_checks(self, version: str, detector: Detector) -> int:
        """Checks with a threshold since the last one that was not calm."""
        with self._database.transaction() as cursor:
            cursor.execute(CALM_CHECKS, {"version": version, "detector": detector})
            (count,) = cursor.fetchone() or (0,)
            return int(count)

    def close_alarms_of_other_versions(self, version: str) -> None:
        """End the episodes of all other versions."""
        with self._database.transaction() as cursor:
            cursor.execute(CLOSE_OTHERS, {"version": version})

    def record(
        self, window: Window, checks: Sequence[Check], calm: Sequence[Detector], place: Position
    ) -> list[Detector]:
        """Store checks and what follows from them, and that everything up to `place` is counted.

        An alarm begins an episode unless one is open; those of `calm` detectors end. Returns which ones began.
        """
        with self._database.transaction() as cursor:
            for check in checks:
                row = (window.first.id, window.last.id, len(window))
                judged = (check.score, check.usual, check.threshold, check.alarm)
                cursor.execute(RECORD, (window.last.model_version, check.detector, *row, *judged))
            began = [check.detector for check in checks if check.alarm and _open(cursor, window, check)]
            for detector in calm:
                cursor.execute(CLOSE, ("back to normal for a whole window", window.last.model_version, detector))
            cursor.execute(MOVE_CURSOR, place)
        return began


def _predicted(cursor: Cursor) -> list[PredictionRow]:
    rows = cursor.fetchall()
    kept = [index for index, row in enumerate(rows) if row[-1] is not None and len(row[-1]) == EMBEDDING_BYTES]
    features: dict[int, list[float]] = {}
    if kept:
        embeddings = unpack(b"".join(bytes(rows[index][-1]) for index in kept))
        features = dict(zip(kept, project(embeddings).tolist(), strict=True))
    return [PredictionRow(*(*row[:-1], features.get(index))) for index, row in enumerate(rows)]


def _before_the_last(cursor: Cursor, rows: int) -> Position | None:
    query = "select predicted_at, id from cargo_prediction order by predicted_at desc, id desc limit 1 offset %s"
    cursor.execute(query, (rows,))
    place: Position | None = cursor.fetchone()
    return place


def _open(cursor: Cursor, window: Window, check: Check) -> bool:
    if check.detector not in ALARMING_DETECTORS:
        return False
    values = {
        "detector": check.detector,
        "version": window.last.model_version,
        "first": window.first.id,
        "last": window.last.id,
        "score": check.score,
        "threshold": check.threshold,
        "evidence": Json(evidence(check.detector, list(window))),
    }
    cursor.execute(OPEN, values)
    return bool(cursor.rowcount)
