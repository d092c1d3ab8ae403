"""The part of Connect's REST interface that the reconciler uses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx

REQUEST_TIMEOUT_S = 10.0
"""Connect answers within milliseconds, but a validated PUT takes a second on a busy machine."""

Offsets: TypeAlias = Mapping[tuple[str, int], int]
"""The next offset to read, by topic and partition."""


class ConnectUnavailable(Exception):
    """Connect does not answer, or is rebalancing and says so. Try again later."""


@dataclass(frozen=True)
class ConnectorStatus:
    """`config` is what Connect holds, the states are as Connect names them, `trace` is a failed part's error."""

    config: Mapping[str, str]
    state: str
    task_states: tuple[str, ...]
    trace: str

    @property
    def failed(self) -> bool:
        """Whether the connector or one of its tasks has given up."""
        return "FAILED" in (self.state, *self.task_states)

    @property
    def cause(self) -> str:
        """The innermost exception of the trace: what really went wrong."""
        lines = self.trace.splitlines()
        causes = [line for line in lines if line.startswith("Caused by: ")] or lines[:1]
        return causes[-1].removeprefix("Caused by: ") if causes else "failed without a trace"

    @property
    def running(self) -> bool:
        """Whether the connector and at least one task run."""
        return bool(self.task_states) and {self.state, *self.task_states} == {"RUNNING"}


class ConnectClient:
    """Raises `ConnectUnavailable` where trying again may help, `httpx.HTTPStatusError` where it will not."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S, transport=transport)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def connectors(self) -> dict[str, ConnectorStatus]:
        """Every connector by name, without those that are just being deleted or created."""
        answer = self._read("/connectors?expand=status&expand=info")
        whole = {name: described for name, described in answer.items() if all(map(described.get, ("status", "info")))}
        return {name: _status(described) for name, described in whole.items()}

    def put_config(self, name: str, config: Mapping[str, str]) -> None:
        """Create the connector or replace its configuration."""
        self._call("PUT", f"/connectors/{name}/config", json=dict(config))

    def restart_failed(self, name: str) -> None:
        """Restart what has failed of a connector: itself, its tasks, or both."""
        self._call("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")

    def stop(self, name: str) -> None:
        """End the tasks; only a stopped connector lets its offsets be changed."""
        self._call("PUT", f"/connectors/{name}/stop")

    def resume(self, name: str) -> None:
        """Let a stopped or paused connector run."""
        self._call("PUT", f"/connectors/{name}/resume")

    def is_stopped(self, name: str) -> bool:
        """Whether the connector has ended all its tasks."""
        status = self.connectors().get(name)
        return status is not None and status.state == "STOPPED" and not status.task_states

    def delete_offsets(self, name: str) -> None:
        """Let a stopped connector begin anew. `ConnectUnavailable` until its tasks have ended."""
        self._call("DELETE", f"/connectors/{name}/offsets")

    def source_lsn(self, name: str) -> int | None:
        """How far in the source's log a Debezium connector has committed; None where it has not."""
        answer = self._read(f"/connectors/{name}/offsets")["offsets"]
        positions = [entry["offset"]["lsn"] for entry in answer if (entry["offset"] or {}).get("lsn") is not None]
        return max(positions, default=None)

    def sink_offsets(self, name: str) -> dict[tuple[str, int], int]:
        """The next offset that a sink connector reads, by topic and partition."""
        answer = self._read(f"/connectors/{name}/offsets")["offsets"]
        return {
            (entry["partition"]["kafka_topic"], entry["partition"]["kafka_partition"]): entry["offset"]["kafka_offset"]
            for entry in answer
        }

    def put_sink_offsets(self, name: str, offsets: Offsets) -> None:
        """Move a stopped sink connector. `ConnectUnavailable` until its tasks have left the group."""
        entries = [
            {"partition": {"kafka_topic": topic, "kafka_partition": partition}, "offset": {"kafka_offset": offset}}
            for (topic, partition), offset in offsets.items()
        ]
        self._call("PATCH", f"/connectors/{name}/offsets", json={"offsets": entries})

    def _read(self, path: str) -> Any:
        try:
            return self._call("GET", path).json()
        except ValueError as error:
            raise ConnectUnavailable(f"GET {path}: what answers there is not Connect ({error})") from error

    def _call(self, method: str, path: str, json: Any = None) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=json)
        except httpx.HTTPError as error:
            raise ConnectUnavailable(f"{method} {path}: {error}") from error
        # 404: Connect is only starting, or someone deleted it. 409: a rebalance is going on. 5xx: not yet, or not now.
        if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.CONFLICT} or answer.is_server_error:
            raise ConnectUnavailable(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        answer.raise_for_status()
        return answer


def _status(described: Mapping[str, Any]) -> ConnectorStatus:
    status, config = described["status"], dict(described["info"]["config"])
    # Connect adds the name to what it was given.
    config.pop("name", None)
    return ConnectorStatus(
        config=config,
        state=status["connector"]["state"],
        task_states=tuple(task["state"] for task in status["tasks"]),
        trace=next(_traces(status), ""),
    )


def _traces(status: Mapping[str, Any]) -> Iterator[str]:
    for part in (status["connector"], *status["tasks"]):
        if part.get("trace"):
            yield str(part["trace"])
