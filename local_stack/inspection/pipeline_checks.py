"""The links of the chain from the source table to the predictions: what each is asked, and what mends it."""

from collections.abc import Callable

import httpx
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from common import names
from common.broker_address import BrokerUnavailable, reachable_servers
from common.settings import (
    api_url,
    kafka_bootstrap_servers,
    local_port,
    mlflow_tracking_uri,
    target_database_url,
)
from local_stack.inspection.links import RESTART, BrokenLink, get, json_of, query, ready
from local_stack.inspection.source_checks import (
    publication,
    replication_slot,
    settled_source_id,
    source_rows,
    source_table,
)


def connectors() -> str:
    """Both connectors run."""
    address = f"http://127.0.0.1:{local_port(8083)}/connectors?expand=status"
    found = json_of(address, "connect")
    for name in (names.SOURCE_CONNECTOR, names.SINK_CONNECTOR):
        if name not in found:
            raise BrokenLink(f"{name} does not exist", RESTART.format("connect-reconciler"))
        status = found[name]["status"]
        for part in [status["connector"], *status["tasks"]]:
            if part["state"] != "RUNNING":
                trace = part.get("trace", "").splitlines()[:1]
                raise BrokenLink(f"{name} is {part['state']} {' '.join(trace)}", RESTART.format("connect-reconciler"))
    return "both are RUNNING"


def topic() -> str:
    """The topic takes rows."""
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=reachable_servers(kafka_bootstrap_servers()),
            request_timeout_ms=5000,
            bootstrap_timeout_ms=5000,
        )
        try:
            partitions = consumer.partitions_for_topic(names.SOURCE_TOPIC)
        finally:
            consumer.close()
    except (BrokerUnavailable, KafkaError) as error:
        raise BrokenLink(str(error), RESTART.format("broker")) from error
    if not partitions:
        raise BrokenLink(f"the topic {names.SOURCE_TOPIC} does not exist", RESTART.format("connect-reconciler"))
    return f"{names.SOURCE_TOPIC} has {len(partitions)} partitions"


def replica() -> str:
    """The sink connector writes the replica."""
    last, replicated = (
        settled_source_id(),
        query(target_database_url(), "target-postgres", "select max(id) from cargo"),
    )
    if last and (replicated[0] or 0) < last:
        raise BrokenLink(
            f"the replica ends at id {replicated[0]}, the source at {last}", RESTART.format("connect-reconciler")
        )
    return f"up to id {replicated[0]}"


def object_store() -> str:
    """The registry's files can be kept."""
    get(f"http://127.0.0.1:{local_port(9000)}/healthz", "object-store")
    return "answers"


def registry() -> str:
    """The registry has a champion."""
    address = f"{mlflow_tracking_uri()}/api/2.0/mlflow/registered-models/alias"
    answer = get(address, "mlflow-server", {"name": names.MODEL_NAME, "alias": names.CHAMPION}, accept=(200, 404, 400))
    if answer.status_code != httpx.codes.OK:
        raise BrokenLink(
            f"{names.MODEL_NAME} has no {names.CHAMPION}",
            "Train one: python -m model_registry.save_model_to_registry --model-name sk_model",
        )
    return f"{names.MODEL_NAME}@{names.CHAMPION} is version {answer.json()['model_version']['version']}"


def api() -> str:
    """The API can predict."""
    return ready(f"{api_url()}/readyz", "api")


def subscriber() -> str:
    """The subscriber has all it needs."""
    return ready(f"http://127.0.0.1:{local_port(9103)}/readyz", "data-subscriber")


def predictions() -> str:
    """Rows become predictions or dead letters."""
    last = settled_source_id()
    predicted, dead_letters, newest = query(
        target_database_url(),
        "target-postgres",
        "select (select count(*) from cargo_prediction), (select count(*) from cargo_dead_letter),"
        " greatest((select max(id) from cargo_prediction), (select max(id) from cargo_dead_letter))",
    )
    if last and (newest or 0) < last:
        raise BrokenLink(f"outcomes end at id {newest}, rows at {last}", RESTART.format("data-subscriber"))
    return f"{predicted} predictions, {dead_letters} dead letters, up to id {newest}"


PIPELINE_CHECKS: tuple[Callable[[], str], ...] = (
    source_table,
    source_rows,
    publication,
    replication_slot,
    topic,
    connectors,
    replica,
    object_store,
    registry,
    api,
    subscriber,
    predictions,
)
