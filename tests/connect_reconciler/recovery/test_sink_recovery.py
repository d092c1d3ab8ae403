"""When the sink is restarted, and when its messages are taken over."""

from unittest.mock import MagicMock

import psycopg2
import pytest
from kafka.errors import KafkaTimeoutError

from common.broker_address import BrokerUnavailable
from common.cli import UserError
from common.names import SINK_CONNECTOR
from common.postgres import Connection
from connect_reconciler.connect_client import ConnectClient
from connect_reconciler.recovery.refused_messages import SkipResult
from connect_reconciler.recovery.sink_recovery import SinkRecovery, TargetUnavailable
from tests.connect_reconciler.conftest import PlayedConnect

RESTART = f"POST /connectors/{SINK_CONNECTOR}/restart?includeTasks=true&onlyFailed=true"


class Steps:
    """In place of `skip_refused_messages`: counts, and returns or raises what it is told."""

    def __init__(self) -> None:
        self.outcome: SkipResult | Exception = SkipResult(messages=2, refused=1)
        self.taken = 0

    def __call__(self, connect: ConnectClient, bootstrap_servers: str, target: Connection) -> SkipResult:
        self.taken += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """The target's session."""
    session = MagicMock()
    monkeypatch.setattr("connect_reconciler.recovery.sink_recovery.connect", lambda *_: session)
    return session


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def sink_recovery(client: ConnectClient, steps: Steps, target: MagicMock) -> SinkRecovery:
    return SinkRecovery(client, "unused", "unused", steps)


def test_first_failure_restarts_and_the_second_at_the_same_place_steps_over(
    sink_recovery: SinkRecovery, connect: PlayedConnect, steps: Steps, target: MagicMock
) -> None:
    assert sink_recovery.recover("x") is False
    assert (connect.asked, steps.taken) == ([RESTART], 0)
    assert sink_recovery.recover("x") is True
    assert (connect.asked, steps.taken) == ([RESTART], 1)
    target.close.assert_called_once()


def test_a_sink_that_got_further_is_only_restarted(
    sink_recovery: SinkRecovery, connect: PlayedConnect, steps: Steps
) -> None:
    for offset in range(5):
        connect.offsets[0] = offset
        assert sink_recovery.recover("x") is False
    assert (connect.asked, steps.taken) == ([RESTART] * 5, 0)


def test_taking_over_without_a_refused_message_is_no_progress(sink_recovery: SinkRecovery, steps: Steps) -> None:
    steps.outcome = SkipResult(messages=500, refused=0)
    sink_recovery.recover("x")
    assert sink_recovery.recover("x") is False
    assert steps.taken == 1


@pytest.mark.parametrize(
    "error",
    [
        psycopg2.OperationalError("gone"),
        KafkaTimeoutError("gone"),
        BrokerUnavailable("gone"),
        UserError("not stopped after 30 s"),
    ],
)
def test_a_failed_take_over_is_no_progress_and_leaves_no_session(
    sink_recovery: SinkRecovery, steps: Steps, target: MagicMock, error: Exception
) -> None:
    steps.outcome = error
    sink_recovery.recover("x")
    assert sink_recovery.recover("x") is False
    target.close.assert_called_once()


def test_target_away_moves_nothing(
    sink_recovery: SinkRecovery, connect: PlayedConnect, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink_recovery.recover("x")
    connect.asked.clear()
    monkeypatch.setattr(
        "connect_reconciler.recovery.sink_recovery.connect", MagicMock(side_effect=UserError("cannot be reached"))
    )
    with pytest.raises(TargetUnavailable, match="cannot be reached"):
        sink_recovery.recover("x")
    assert (connect.asked, steps.taken) == ([], 0)


def test_target_without_its_table_is_away_too(sink_recovery: SinkRecovery, target: MagicMock) -> None:
    cursor = target.cursor.return_value.__enter__.return_value
    cursor.execute.side_effect = psycopg2.ProgrammingError('relation "cargo" does not exist')
    target.__exit__.return_value = False
    target.cursor.return_value.__exit__.return_value = False
    with pytest.raises(TargetUnavailable, match="does not exist"):
        sink_recovery.check_target()
    target.close.assert_called_once()
