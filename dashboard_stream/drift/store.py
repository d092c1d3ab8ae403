"""What the drift monitor reads from and writes to the target database."""

from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import Json

from dashboard_stream.clients.target_database import DatabaseUnavailable, TargetDatabase
from dashboard_stream.drift.checks import ALARMING_DETECTORS, Check, Detector, evidence
from dashboard_stream.drift.counting import Count
from dashboard_stream.drift.sliding_window import Place, PredictionRow, Window, Windows

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
update drift_alarm set ended_at = clock_timestamp(), end_reason = 'version ' || %s || ' serves'
where model_version <> all(%s) and ended_at is null
"""

ALONE = "select pg_try_advisory_lock(hashtext('drift monitor of ' || current_schema()))"


class DriftStore:
    """Each method is one transaction and raises `DatabaseUnavailable`; after that, begin again with `resume`."""

    def __init__(self, database: TargetDatabase) -> None:
        self._database = database

    def become_the_only_one(self) -> None:
        """Hold a lock until the connection ends: of several monitors one counts and the others find it taken."""
        with self._database.transaction() as cursor:
            cursor.execute(ALONE)
            if cursor.fetchone() != (True,):
                raise DatabaseUnavailable("another drift monitor is at work; this one takes over when it ends")

    def resume(self, count: Count, size: int, check_every: int) -> tuple[Place | None, Windows]:
        """How far counting has come, None = nowhere, and the windows as they were there.

        At the very first time it begins with the last `size` rows: history is not judged.
        """
        with self._database.transaction() as cursor:
            place = count.progress(cursor, size)
            return place, count.windows(cursor, place, size, check_every)

    def newer(self, count: Count, place: Place | None) -> list[PredictionRow]:
        """At most a page of rows that were not counted yet, oldest first."""
        with self._database.transaction() as cursor:
            return count.newer(cursor, place)

    def held_back(self, count: Count) -> bool:
        """Whether rows wait for a transaction that is still open."""
        with self._database.transaction() as cursor:
            return count.held_back(cursor)

    def calm_checks(self, version: str, detector: Detector) -> int:
        """Checks with a threshold since the last one that was not calm."""
        with self._database.transaction() as cursor:
            cursor.execute(CALM_CHECKS, {"version": version, "detector": detector})
            (count,) = cursor.fetchone() or (0,)
            return int(count)

    def close_alarms_of_others(self, versions: Sequence[str]) -> None:
        """End the episodes of all versions but these, the last of which is named as what serves."""
        with self._database.transaction() as cursor:
            cursor.execute(CLOSE_OTHERS, (versions[-1], list(versions)))

    def record(
        self, count: Count, window: Window, checks: Sequence[Check], calm: Sequence[Detector], place: Place
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
            count.move(cursor, place)
        return began


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
