"""Which alarm calls for a training run now, and what becomes of runs that were cut off."""

from dataclasses import dataclass
from datetime import UTC, datetime

from common.postgres import Connection
from model_registry.adaptation.adaptation_table import ATTEMPTS, Outcome, Run
from model_registry.settings import Settings
from model_registry.versions.champion_lookup import Champion

RETRY_AFTER_S = 10.0
"""What cut a run off may be over by then."""


HEAD_START_S = 10.0
"""A run is begun so long before its alarm is confirmed: it makes itself ready, and waits for the rest by itself."""


@dataclass(frozen=True)
class InterruptedRun:
    """A run that is not finished, though nobody works on it."""

    alarm_id: int
    attempts: int
    champion_version: str
    challenger_version: str | None
    reason: str | None
    alarm_end: str | None
    """Why the alarm has ended; None while it is open."""
    retry_due: bool
    """Whether it lies still for `RETRY_AFTER_S`."""


def final_outcome(run: InterruptedRun, champion_version: str) -> tuple[Outcome, str] | None:
    """How a cut-off run ends without being tried again; None when it shall be."""
    before = f" (before: {run.reason})" if run.reason else ""
    if run.challenger_version == champion_version:
        return "promoted", "the challenger was already champion when the run was interrupted"
    if run.champion_version != champion_version:
        return "rejected", f"version {champion_version} became the champion in the meantime{before}"
    if run.alarm_end is not None:
        return "failed", f"the run was interrupted, and the alarm has ended since: {run.alarm_end}{before}"
    if run.attempts >= ATTEMPTS:
        return "failed", f"the run was interrupted {run.attempts} times{before}; the log of model-adapter says how"
    return None


def next_alarm(
    connection: Connection, champion: Champion, settings: Settings, now: datetime | None = None
) -> int | None:
    """The alarm to answer now. Call with the lock held: a run that is not finished is then one that was cut off."""
    for run in _cut_off(connection):
        if end := final_outcome(run, champion.version):
            Run(connection, run.alarm_id).finish(*end)
        else:
            return run.alarm_id if run.retry_due else None
    promoted_at = champion.promoted_at
    if promoted_at and ((now or datetime.now(UTC)) - promoted_at).total_seconds() < settings.adapt_cool_down_s:
        return None
    return _open_alarm(connection, champion.version, settings)


def _cut_off(connection: Connection) -> list[InterruptedRun]:
    with connection.cursor() as cursor:
        cursor.execute(
            "select run.alarm_id, run.attempts, run.champion_version, run.challenger_version, run.reason,"
            " case when alarm.ended_at is not null then coalesce(alarm.end_reason, 'no reason given') end,"
            " run.updated_at <= now() - make_interval(secs => %s)"
            " from adaptation run join drift_alarm alarm on alarm.id = run.alarm_id"
            " where run.finished_at is null order by run.id",
            (RETRY_AFTER_S,),
        )
        return [InterruptedRun(*row) for row in cursor]


def _open_alarm(connection: Connection, champion_version: str, settings: Settings) -> int | None:
    """The oldest one of this champion that no run has answered, unless a run finished lately."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select id from drift_alarm where ended_at is null and model_version = %s"
            " and began_at <= now() - make_interval(secs => %s)"
            " and not exists (select from adaptation where alarm_id = drift_alarm.id)"
            " and not exists (select from adaptation where finished_at > now() - make_interval(secs => %s))"
            " order by id limit 1",
            (champion_version, max(0.0, settings.adapt_confirm_s - HEAD_START_S), settings.adapt_cool_down_s),
        )
        row = cursor.fetchone()
    return None if row is None else int(row[0])
