"""The services of the compose files, and what is known of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.paths import REPOSITORY

SERVICES = {
    "data_prepare/docker-compose.yaml": {"data-prepare"},
    "data_generate/docker-compose.yaml": {"postgres-server", "sample-data", "source-tables", "data-generator"},
    "model_registry/docker-compose.yaml": {
        "mlflow-backend-store",
        "mlflow-artifact-store",
        "mlflow-server",
        "first-champion",
        "model-adapter",
    },
    "api_serving/docker-compose.yaml": {"api-with-model"},
    "kafka/kafka-docker-compose.yaml": {"broker", "connect", "connect-reconciler"},
    "kafka/target-docker-compose.yaml": {"target-postgres-server", "target-tables"},
    "dashboard_stream/stream-docker-compose.yaml": {"data-subscriber", "drift-monitor"},
    "dashboard_stream/grafana-docker-compose.yaml": {"grafana-dashboard"},
}


JOBS = {"sample-data", "source-tables"}
"""They end by themselves."""


SELF_SUFFICIENT = {"data-generator", "target-tables"}
"""They need nothing of another stage, so that they are ready in their own."""


TOOLS = {"data-prepare"}
"""Started by command only."""


PORTS = {
    "postgres-server": {5432},
    "data-generator": {9101},
    "mlflow-artifact-store": {9000, 9001},
    "mlflow-server": {5001},
    "api-with-model": {8000},
    "broker": {9092},
    "connect": {8083},
    "connect-reconciler": {9102},
    "target-postgres-server": {5433},
    "data-subscriber": {9103},
    "drift-monitor": {9105},
    "grafana-dashboard": {3000},
}


def services(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from content["services"].items()


def names(file: Path) -> str:
    return str(file.relative_to(REPOSITORY))
