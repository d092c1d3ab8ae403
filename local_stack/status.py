"""What each service of the stack is doing."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import psutil
from rich.table import Table

from local_stack.services import SERVICES, Service
from local_stack.supervision import Supervisor

COLOURS = {
    "ready": "green",
    "done": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "stopped": "dim",
    "failed": "red",
}


@dataclass(frozen=True)
class ServiceState:
    """`state` is a key of `COLOURS`; `memory` is the service's resident bytes, children included."""

    name: str
    state: str
    detail: str
    memory: int


def service_states(supervisor: Supervisor) -> list[ServiceState]:
    """Ask the supervisor, then each running service itself. Takes two seconds at most."""
    processes = supervisor.processes()

    def state_of(service: Service) -> ServiceState:
        process = processes[service.name]
        state, detail = process["statename"], process["description"]
        if state == "RUNNING":
            ready = service.ready is not None and service.ready()
            return ServiceState(service.name, "ready" if ready else "waiting", detail, resident_bytes(process["pid"]))
        if state == "EXITED" and service.job and process["exitstatus"] == 0:
            return ServiceState(service.name, "done", detail, 0)
        known = {"STARTING": "starting", "BACKOFF": "starting", "STOPPED": "stopped", "STOPPING": "stopped"}
        return ServiceState(service.name, known.get(state, "failed"), detail, 0)

    with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:
        return list(pool.map(state_of, SERVICES))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its children; pages that several share are divided among them where known."""
    total = 0
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.Error):
                memory = process.memory_full_info() if psutil.LINUX else process.memory_info()
                total += getattr(memory, "pss", 0) or memory.rss
    return total


def states_table(states: Iterable[ServiceState]) -> Table:
    """A row a service."""
    table = Table("service", "state", "detail", "memory", title="Services", title_justify="left")
    for state in states:
        colour = COLOURS[state.state]
        memory = f"{state.memory / 2**20:.0f} MiB" if state.memory else ""
        table.add_row(state.name, f"[{colour}]{state.state}[/]", state.detail, memory)
    return table
