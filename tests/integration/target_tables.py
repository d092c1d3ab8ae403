"""The target database's tables in a schema of their own, beside those that the running stack fills."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from common.migrations import migrate
from common.paths import REPOSITORY
from connect_reconciler.target_tables import SCHEMA
from tests.conftest import Stack


@contextmanager
def target_tables(stack: Stack, *roles: str) -> Iterator[str]:
    """Name of the schema, which is dropped at the end; `roles` may do in it what they may do in the stack's own."""
    schema = f"test_{uuid.uuid4().hex}"
    with stack.target() as connection, connection.cursor() as cursor:
        cursor.execute(f"create schema {schema}")
        migrate(f"{stack.target_url}?options=-csearch_path%3D{schema}", SCHEMA, "test")
        cursor.execute(f"set search_path = {schema}")
        grants = (REPOSITORY / "kafka" / "target_roles.sql").read_text().splitlines()
        for role in roles:
            cursor.execute(f"grant usage on schema {schema} to {role}")
            cursor.execute("\n".join(line for line in grants if line.endswith(f"to {role};")))
    try:
        yield schema
    finally:
        # Whoever killed the database meanwhile has waited for it.
        with stack.target() as connection, connection.cursor() as cursor:
            cursor.execute(f"drop schema {schema} cascade")
