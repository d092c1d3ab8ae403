"""Takes account of all rows, and sends through again what is missing."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg2
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from common.cli import UserError
from common.settings import source_database_url, target_database_url
from common.waiting import STARTUP_TIMEOUT_S, wait_until
from local_stack.inspection.account import (
    Account,
    SourceEnd,
    all_settled,
    source_end,
    subscriber_client,
    take_account,
    without_outcome,
)
from local_stack.inspection.replica import ReplicaDifference, compare_replica

SETTLE_TIMEOUT_S = 30.0
"""Rows on their way get so long before they are counted as such; the slot says every 5 s how far it is."""

AT_ONCE = 500
"""Rows that are sent again in one transaction."""

SHOWN = 20
"""Ids that are named; the others are counted."""

# The same values: the row goes through the log, the topic and the subscriber once more.
SEND_AGAIN = "update cargo set image_path = image_path where id = any(%s)"

DROP_EXTRA = """
with gone as (delete from cargo where id = any(%(ids)s) returning id)
update cargo_prediction set deleted_at = now() from gone where cargo_prediction.id = gone.id and deleted_at is null
"""


@dataclass(frozen=True)
class Stock:
    """What became of every row, in the outcomes and in the replica."""

    account: Account
    replica: ReplicaDifference

    @property
    def good(self) -> bool:
        """Whether nothing is missing or wrong; rows that wait are neither."""
        waiting = set(self.account.waiting)
        return self.account.sound and not set(self.replica.to_send) - waiting and not self.replica.extra


def take_stock(console: Console) -> Stock:
    """Compare both databases and show the result. `UserError` when one cannot be asked."""
    source, target = source_database_url(), target_database_url()
    try:
        end = source_end(source)
        settled = _settles(source, end)
        stock = Stock(take_account(source, target, end.last_id, settled), _replica(source, target, end))
    except psycopg2.Error as error:
        raise UserError(f"{' '.join(str(error).split())}. See what is wrong with `make doctor`.") from error
    table = Table(show_header=False)
    for what, ids in (
        ("rows without an outcome, which are on their way or lost", stock.account.waiting),
        ("rows without an outcome, though the stream has come to its end", stock.account.lost),
        ("rows with a prediction and a dead letter", stock.account.duplicated),
        ("rows that the replica lacks", stock.replica.missing),
        ("rows that the replica has otherwise", stock.replica.different),
        ("rows of the replica that the source has no more", stock.replica.extra),
    ):
        table.add_row(what, str(len(ids)), _named(ids))
    console.print(f"{stock.account.committed} rows are committed in the source.")
    console.print(table)
    console.print("All is well." if stock.good else "`make repair` sends what is missing through again.")
    return stock


def repair_all(console: Console) -> None:
    """Send through again what has no outcome or is wrong in the replica, and wait for it."""
    source, target = source_database_url(), target_database_url()
    end = source_end(source)
    account = take_account(source, target, end.last_id)
    replica = compare_replica(source, target, end.last_id)
    ids = sorted({*account.waiting, *account.duplicated, *replica.to_send})
    _remove(target, replica.extra)
    with Progress(console=console) as progress:
        for start in progress.track(range(0, len(ids), AT_ONCE), description="sending again"):
            _execute(source, SEND_AGAIN, (ids[start : start + AT_ONCE],))
    console.print(f"{len(ids)} rows sent again, {len(replica.extra)} taken out of the replica. Waiting for them …")
    if not ids:
        return

    def there() -> bool:
        missing = without_outcome(target, ids)
        return not missing and not set(compare_replica(source, target, end.last_id).to_send) & set(ids)

    wait_until(there, "outcomes and replica of the rows that were sent again", STARTUP_TIMEOUT_S, interval_s=1.0)


def _settles(source: str, end: SourceEnd) -> bool:
    """Whether all that was committed up to `end` has gone through the stream; waits a while for it."""
    with subscriber_client() as subscriber, contextlib.suppress(UserError):
        wait_until(lambda: all_settled(source, end, subscriber), "the stream", SETTLE_TIMEOUT_S, interval_s=0.2)
        return True
    return False


def _replica(source: str, target: str, end: SourceEnd) -> ReplicaDifference:
    """How the replica differs, once the sink has had a while for what it has in hand."""
    found = compare_replica(source, target, end.last_id)

    def equal() -> bool:
        nonlocal found
        found = compare_replica(source, target, end.last_id)
        return not found.to_send and not found.extra

    if found.to_send or found.extra:
        with contextlib.suppress(UserError):
            wait_until(equal, "the sink", SETTLE_TIMEOUT_S, interval_s=1.0)
    return found


def _named(ids: Sequence[int]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(map(str, ids[:SHOWN])) + more


def _remove(target: str, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), AT_ONCE):
        _execute(target, DROP_EXTRA, {"ids": list(ids[start : start + AT_ONCE])})


def _execute(url: str, statement: str, values: object) -> None:
    connection = psycopg2.connect(url, application_name="local_stack", connect_timeout=5)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)  # type: ignore[arg-type]
    finally:
        connection.close()
