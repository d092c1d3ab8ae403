"""The source's links of the chain: its table, what of it is published, and who reads its log."""

from common import names
from common.settings import source_database_url
from local_stack.inspection.links import RESTART, BrokenLink, query

SETTLED_AGE = "30 seconds"
"""Older rows should have arrived, whatever the batch."""


def source_table() -> str:
    """The source table is as the stream needs it."""
    columns, keys = query(
        source_database_url(),
        "source-postgres",
        "select array(select column_name::text from information_schema.columns"
        " where table_schema = 'public' and table_name = 'cargo'),"
        " (select count(*) from pg_index where indrelid = to_regclass('public.cargo') and indisprimary)",
    )
    if missing := [name for name in names.SOURCE_COLUMNS if name not in columns]:
        raise BrokenLink(
            f"the table cargo has no column {', '.join(missing)}: its new rows become dead letters",
            "Give the table its column again; data_generate/README.md lists them.",
        )
    if not keys:
        raise BrokenLink("the table cargo has no primary key", "alter table cargo add primary key (id);")
    more = sorted(set(columns) - set(names.SOURCE_COLUMNS))
    return f"has its columns{'; not streamed: ' + ', '.join(more) if more else ''}"


def source_rows() -> str:
    """Rows are in the source table."""
    rows, fresh = query(
        source_database_url(),
        "source-postgres",
        "select count(*), count(*) filter (where \"timestamp\" > now() - interval '1 minute') from cargo",
    )
    if not rows:
        raise BrokenLink("the table cargo is empty", RESTART.format("data-generator"))
    return f"{rows} rows, {fresh} of them in the last minute"


def publication() -> str:
    """What happens to the table is published."""
    (published,) = query(
        source_database_url(),
        "source-postgres",
        "select array(select tablename::text from pg_publication_tables"
        " where pubname = 'dbz_cargo' and schemaname = 'public')",
    )
    if missing := [name for name in ("cargo", "dbz_heartbeat") if name not in published]:
        raise BrokenLink(
            f"the publication dbz_cargo lacks {' and '.join(missing)}: a table that was made anew has left it",
            "Put it back: python -m data_generate.create_source_tables",
        )
    return "dbz_cargo publishes the table and the heartbeat"


def replication_slot() -> str:
    """Debezium reads the source's log."""
    active, status = query(
        source_database_url(),
        "source-postgres",
        "select coalesce(bool_or(active), false), coalesce(max(wal_status), 'missing')"
        " from pg_replication_slots where slot_name = 'dbz_cargo'",
    )
    if not active:
        raise BrokenLink(
            f"nobody reads the slot dbz_cargo (its log: {status}). The source connector makes a lost one anew and "
            "reads the table again",
            RESTART.format("connect-reconciler"),
        )
    return "the slot dbz_cargo is being read"


def settled_source_id() -> int | None:
    """The newest row that should have arrived by now."""
    (last,) = query(
        source_database_url(),
        "source-postgres",
        f"select max(id) from cargo where \"timestamp\" < now() - interval '{SETTLED_AGE}'",  # noqa: S608 - a constant
    )
    return int(last) if last is not None else None
