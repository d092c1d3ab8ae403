"""The topic itself is lost while rows flow."""

from kafka import KafkaAdminClient
from rich.console import Console

from common.names import SOURCE_TOPIC
from common.waiting import wait_until
from local_stack.inspection.account import source_end, take_account, without_outcome
from local_stack.inspection.repair import repair_all, take_stock
from tests.conftest import Stack
from tests.integration.connect_reconciler.rows_topic import insert, query
from tests.timeouts import WAIT_TIMEOUT_S


def test_a_topic_that_was_deleted_is_made_anew_and_what_it_held_is_sent_again(stack: Stack) -> None:
    stack.wait_ready("connect-reconciler")
    stack.wait_ready("data-subscriber")
    stack.stop("data-subscriber")
    unread = [insert(stack) for _ in range(20)]
    last = "select count(*) from cargo where id = any(%s)"
    wait_until(lambda: query(stack, "target", last, unread) == [(20,)], "the rows in the topic", WAIT_TIMEOUT_S)
    admin = KafkaAdminClient(bootstrap_servers=stack.kafka)
    try:
        admin.delete_topics([SOURCE_TOPIC])
    finally:
        admin.close()
    stack.start("data-subscriber")
    later = insert(stack)
    wait_until(lambda: not without_outcome(stack.target_url, [later]), "rows flow again", WAIT_TIMEOUT_S)
    assert set(without_outcome(stack.target_url, unread)) == set(unread), "nobody has them any more but the source"
    repair_all(Console(quiet=True))
    assert take_stock(Console(quiet=True)).good
    end = source_end(stack.source_url)
    wait_until(
        lambda: take_account(stack.source_url, stack.target_url, end.last_id).complete, "all is well", WAIT_TIMEOUT_S
    )
