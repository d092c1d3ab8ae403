"""The links of the chain from the source table to the predictions: what each is asked, and what mends it."""

from collections.abc import Callable
from typing import Any

import httpx
import psycopg2
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from common import names
from common.broker_address import BrokerUnavailable, reachable_servers
from common.settings import (
    api_url,
    kafka_bootstrap_servers,
    local_port,
    mlflow_tracking_uri,
    source_database_url,
    target_database_url,
)

SETTLED_AGE = "30 seconds"
"""Older rows should have arrived, whatever the batch."""

RESTART = "See its log with `make logs S={0}`; start the stack with `make up-local` if it is not up."


class BrokenLink(Exception):
    """A link that does not hold. `advice` says what to do."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.advice = advice


def source_rows() -> str:
    """Rows are in the source table."""
    rows, fresh = _query(
        source_database_url(),
        "source-postgres",
        "select count(*), count(*) filter (where \"timestamp\" > now() - interval '1 minute') from cargo",
    )
    if not rows:
        raise BrokenLink("the table cargo is empty", RESTART.format("data-generator"))
    return f"{rows} rows, {fresh} of them in the last minute"


def replication_slot() -> str:
    """Debezium reads the source's log."""
    (active,) = _query(
        source_database_url(),
        "source-postgres",
        "select coalesce(bool_or(active), false) from pg_replication_slots where slot_name = 'dbz_cargo'",
    )
    if not active:
        raise BrokenLink("the slot dbz_cargo is missing or nobody reads it", RESTART.format("connect"))
    return "the slot dbz_cargo is being read"


def connectors() -> str:
    """Both connectors run."""
    address = f"http://127.0.0.1:{local_port(8083)}/connectors?expand=status"
    found = _json(address, "connect")
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
        _settled_source_id(),
        _query(target_database_url(), "target-postgres", "select max(id) from cargo"),
    )
    if last and (replicated[0] or 0) < last:
        raise BrokenLink(
            f"the replica ends at id {replicated[0]}, the source at {last}", RESTART.format("connect-reconciler")
        )
    return f"up to id {replicated[0]}"


def object_store() -> str:
    """The registry's files can be kept."""
    _get(f"http://127.0.0.1:{local_port(9000)}/healthz", "object-store")
    return "answers"


def registry() -> str:
    """The registry has a champion."""
    address = f"{mlflow_tracking_uri()}/api/2.0/mlflow/registered-models/alias"
    answer = _get(address, "mlflow-server", {"name": names.MODEL_NAME, "alias": names.CHAMPION}, accept=(200, 404, 400))
    if answer.status_code != httpx.codes.OK:
        raise BrokenLink(
            f"{names.MODEL_NAME} has no {names.CHAMPION}",
            "Train one: python -m model_registry.save_model_to_registry --model-name sk_model",
        )
    return f"{names.MODEL_NAME}@{names.CHAMPION} is version {answer.json()['model_version']['version']}"


def api() -> str:
    """The API can predict."""
    return _ready(f"{api_url()}/readyz", "api")


def subscriber() -> str:
    """The subscriber has all it needs."""
    return _ready(f"http://127.0.0.1:{local_port(9103)}/readyz", "data-subscriber")


def predictions() -> str:
    """Rows become predictions or dead letters."""
    last = _settled_source_id()
    predicted, dead_letters, newest = _query(
        target_database_url(),
        "target-postgres",
        "select (select count(*) from cargo_prediction), (select count(*) from cargo_dead_letter),"
        " greatest((select max(id) from cargo_prediction), (select max(id) from cargo_dead_letter))",
    )
    if last and (newest or 0) < last:
        raise BrokenLink(f"outcomes end at id {newest}, rows at {last}", RESTART.format("data-subscriber"))
    return f"{predicted} predictions, {dead_letters} dead letters, up to id {newest}"


PIPELINE_CHECKS: tuple[Callable[[], str], ...] = (
    source_rows,
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


def _query(url: str, service: str, query: str) -> tuple[Any, ...]:
    try:
        connection = psycopg2.connect(url, connect_timeout=3)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return tuple(cursor.fetchone() or ())
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise BrokenLink(str(error).strip().splitlines()[0], RESTART.format(service)) from error


def _settled_source_id() -> int | None:
    (last,) = _query(
        source_database_url(),
        "source-postgres",
        f"select max(id) from cargo where \"timestamp\" < now() - interval '{SETTLED_AGE}'",  # noqa: S608 - a constant
    )
    return int(last) if last is not None else None


def _get(
    url: str, service: str, parameters: dict[str, str] | None = None, accept: tuple[int, ...] = (200,)
) -> httpx.Response:
    try:
        answer = httpx.get(url, params=parameters, timeout=5)
    except httpx.HTTPError as error:
        raise BrokenLink(f"{url} does not answer ({error})", RESTART.format(service)) from error
    if answer.status_code not in accept:
        raise BrokenLink(f"{url} answers {answer.status_code}: {answer.text[:200].strip()}", RESTART.format(service))
    return answer


def _json(url: str, service: str) -> Any:
    return _get(url, service).json()


def _ready(url: str, service: str) -> str:
    _get(url, service)
    return "ready"
