"""Somebody holds a table: services wait, and end all the same when they are told to."""

from collections.abc import Iterator

import pytest

from common.waiting import wait_until
from tests.conftest import Stack
from tests.timeouts import WAIT_TIMEOUT_S

WAITING = "select count(*) from pg_stat_activity where application_name = %s and wait_event_type = 'Lock'"


@pytest.fixture
def service(stack: Stack, request: pytest.FixtureRequest) -> Iterator[str]:
    name = str(request.param)
    stack.wait_ready(name)
    yield name
    stack.start(name)
    stack.wait_ready(name)


@pytest.mark.parametrize(
    ("service", "side", "table"),
    [
        ("data-subscriber", "target", "cargo_prediction"),
        ("drift-monitor", "target", "cargo_prediction"),
        ("data-generator", "source", "cargo"),
        ("model-adapter", "target", "drift_alarm"),
    ],
    indirect=["service"],
)
def test_a_service_that_waits_for_a_table_ends_when_it_is_told_to(
    stack: Stack, service: str, side: str, table: str
) -> None:
    log = stack.state_dir / "logs" / "supervisord.log"
    with (
        stack.source() if side == "source" else stack.target() as owner,
        stack.source() if side == "source" else stack.target() as other,
        other.cursor() as cursor,
    ):
        owner.autocommit = False
        with owner.cursor() as holding:
            holding.execute(f"lock table {table} in access exclusive mode")

            def waits() -> bool:
                cursor.execute(WAITING, (service,))
                return cursor.fetchone() != (0,)

            wait_until(waits, f"{service} waits for {table}", WAIT_TIMEOUT_S)
            before = log.read_text().count("SIGKILL")
            stack.stop(service)
            assert log.read_text().count("SIGKILL") == before, "it had to be killed"
        owner.rollback()
