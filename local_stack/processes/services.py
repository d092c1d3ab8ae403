"""Every service of the local stack, one row each: what runs it, the ports it takes, and how to see that it works."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from common.names import MODEL_NAME
from common.settings import api_url, kafka_bootstrap_servers, local_port, source_database_url, target_database_url
from local_stack.processes import object_store
from local_stack.processes.probes import database_answers, http_answers, kafka_answers

Probe = Callable[[], bool]

POSTGRES_FAST_STOP = "INT"
"""On TERM PostgreSQL waits until every client has gone."""


@dataclass(frozen=True)
class Service:
    """A process under the supervisor. A `job` ends by itself with 0 and is then left alone."""

    name: str
    command: tuple[str, ...]
    ports: Mapping[str, int] = field(default_factory=dict)
    ready: Probe | None = None
    job: bool = False
    stop_signal: str = "TERM"


def _launcher(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "local_stack.launch", name)


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


def _http(port: int, path: str = "/readyz") -> Probe:
    return lambda: http_answers(f"http://127.0.0.1:{local_port(port)}{path}")


SERVICES: tuple[Service, ...] = (
    Service(
        "source-postgres",
        _launcher("source-postgres"),
        {"source-postgres": 5432},
        lambda: database_answers(source_database_url()),
        stop_signal=POSTGRES_FAST_STOP,
    ),
    Service(
        "target-postgres",
        _launcher("target-postgres"),
        {"target-postgres": 5433},
        lambda: database_answers(target_database_url()),
        stop_signal=POSTGRES_FAST_STOP,
    ),
    Service(
        "broker",
        _launcher("broker"),
        {"broker": 9092, "broker controller": 9093},
        lambda: kafka_answers(kafka_bootstrap_servers()),
    ),
    Service("connect", _launcher("connect"), {"connect": 8083}, _http(8083, "/connectors")),
    Service(
        "object-store",
        _launcher("object-store"),
        {f"object-store {part}": port for part, port in object_store.PORTS.items()},
        _http(9000, "/healthz"),
    ),
    Service("mlflow-server", _module("model_registry.serve_registry"), {"mlflow-server": 5001}, _http(5001, "/health")),
    Service("target-tables", _module("connect_reconciler.create_target_tables"), job=True),
    Service("connect-reconciler", _module("connect_reconciler.reconciler"), {"connect-reconciler": 9102}, _http(9102)),
    Service(
        "first-champion",
        _module("model_registry.save_model_to_registry", "--model-name", MODEL_NAME, "--if-missing"),
        job=True,
    ),
    Service(
        "api",
        _module("uvicorn", "api_serving.app:app", "--host", "127.0.0.1", "--port", str(local_port(8000))),
        {"api": 8000},
        lambda: http_answers(f"{api_url()}/readyz"),
    ),
    Service("data-generator", _module("data_generate.data_generator"), {"data-generator": 9101}, _http(9101)),
    Service("data-subscriber", _module("dashboard_stream.data_subscriber"), {"data-subscriber": 9103}, _http(9103)),
    Service("drift-monitor", _module("dashboard_stream.drift_monitor"), {"drift-monitor": 9105}, _http(9105)),
    Service("model-adapter", _module("model_registry.adapter"), {"model-adapter": 9106}, _http(9106)),
)
