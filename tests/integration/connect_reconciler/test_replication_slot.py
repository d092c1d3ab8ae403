"""The slot must move on while the source table is idle, or the log that it keeps fills the disk."""

from common.waiting import wait_until
from tests.conftest import Stack
from tests.timeouts import WAIT_TIMEOUT_S

BEHIND = """
select pg_wal_lsn_diff(%s::pg_lsn, confirmed_flush_lsn)
from pg_replication_slots where slot_name = 'dbz_cargo'
"""


def test_writes_to_other_tables_do_not_pile_up_behind_an_idle_source(stack: Stack) -> None:
    stack.stop("data-generator")
    try:
        with stack.source() as source, source.cursor() as cursor:
            cursor.execute("create table if not exists elsewhere as select generate_series(1, 100000) as number")
            cursor.execute("drop table elsewhere")
            cursor.execute("select pg_current_wal_lsn()")
            (written,) = cursor.fetchone() or (None,)

            def caught_up() -> bool:
                cursor.execute(BEHIND, (written,))
                (bytes_behind,) = cursor.fetchone() or (None,)
                return bytes_behind is not None and bytes_behind <= 0

            wait_until(caught_up, "the slot has moved past the other table's writes", timeout_s=WAIT_TIMEOUT_S)
    finally:
        stack.start("data-generator")
