"""Grafana's files as the tests read them, and what Grafana does to a panel's SQL before it is sent."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from common.paths import REPOSITORY

GRAFANA = REPOSITORY / "dashboard_stream" / "grafana"
COMPOSE_FILE = REPOSITORY / "dashboard_stream" / "grafana-docker-compose.yaml"

# As in the data source: an argument cannot hold a closing bracket.
_MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")


def dashboards() -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((GRAFANA / "dashboards").glob("*.json"))]


def panels() -> dict[str, dict[str, Any]]:
    """All panels of all dashboards by title."""
    return {panel["title"]: panel for dashboard in dashboards() for panel in dashboard["panels"]}


def provisioned(kind: str) -> list[dict[str, Any]]:
    """The entries of all files in `provisioning/KIND`; Grafana calls the dashboards' entries providers."""
    files = sorted((GRAFANA / "provisioning" / kind).glob("*.yaml"))
    contents = [yaml.safe_load(file.read_text()) for file in files]
    assert all(content["apiVersion"] == 1 for content in contents)
    return [entry for content in contents for entry in content["providers" if kind == "dashboards" else kind]]


def service() -> Mapping[str, Any]:
    """The compose service, together with what it extends."""
    own = _compose_service(COMPOSE_FILE, "grafana-dashboard")
    base = own["extends"]
    inherited = _compose_service(COMPOSE_FILE.parent / base["file"], base["service"])
    hardened = _compose_service(COMPOSE_FILE.parent / base["file"], inherited["extends"])
    return {**hardened, **inherited, **own}


def _compose_service(file: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text())["services"][name]
    return found


def expand(sql: str, start: datetime, end: datetime, interval_s: int) -> str:
    """`sql` as the database gets it: first the global variables, then the data source's macros, in Grafana's order.

    Raises `ValueError` for a macro that no panel has used so far.
    """
    variables = {
        "$__interval_ms": str(interval_s * 1000),
        "$__interval": f"{interval_s}s",
        "$__unixEpochFrom()": str(int(start.timestamp())),
        "$__unixEpochTo()": str(int(end.timestamp())),
    }
    for variable, value in variables.items():
        sql = sql.replace(variable, value)

    def macro(match: re.Match[str]) -> str:
        name, arguments = match[1], [argument.strip() for argument in match[2].split(",")]
        if name == "__timeFilter":
            (column,) = arguments
            return f"{column} BETWEEN '{_rfc3339(start)}' AND '{_rfc3339(end)}'"
        if name == "__timeGroupAlias":
            column, interval = arguments
            seconds = int(interval.removesuffix("s"))
            return f'floor(extract(epoch from {column})/{seconds})*{seconds} AS "time"'
        raise ValueError(f"unknown macro {name}")

    return _MACRO.sub(macro, sql)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
