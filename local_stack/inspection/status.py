"""What each service of the stack is doing."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import psutil
from rich.table import Table

from local_stack.processes.services import SERVICES, Service
from local_stack.processes.supervision import Supervisor

COLOURS = {
    "ready": "green",
    "done": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "stopped": "dim",
    "failed": "red",
}


WORK_STEP_S = 6.0
"""Of a processor's time: a tenth of a minute. Services that merely wait for each other use less in a minute."""


@dataclass(frozen=True)
class ServiceState:
    """`state` is a key of `COLOURS`; `memory` is its resident bytes with its children's, 0 where nobody asked."""

    name: str
    state: str
    detail: str
    memory: int

    @property
    def good(self) -> bool:
        """Whether it is as it should be."""
        return self.state in {"ready", "done"}


def service_states(supervisor: Supervisor, with_memory: bool = False) -> list[ServiceState]:
    """Ask the supervisor, then each running service itself. Takes two seconds at most.

    Adding up the memory reads every page table of the stack: only where somebody looks at it.
    """
    processes = supervisor.processes()

    def state_of(service: Service) -> ServiceState:
        process = processes[service.name]
        state, detail = process["statename"], process["description"]
        if state == "RUNNING":
            ready = service.ready is not None and service.ready()
            memory = resident_bytes(process["pid"]) if with_memory else 0
            return ServiceState(service.name, "ready" if ready else "waiting", detail, memory)
        if state == "EXITED" and service.job and process["exitstatus"] == 0:
            return ServiceState(service.name, "done", detail, 0)
        known = {"STARTING": "starting", "BACKOFF": "starting", "STOPPED": "stopped", "STOPPING": "stopped"}
        return ServiceState(service.name, known.get(state, "failed"), detail, 0)

    with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:
        return list(pool.map(state_of, SERVICES))


def work_done(supervisor: Supervisor, services: Iterable[str]) -> int:
    """Rises by one each time that `services` have together worked for `WORK_STEP_S` of a processor's time."""
    processes = supervisor.processes()
    return int(sum(cpu_seconds(processes[name]["pid"]) for name in services) // WORK_STEP_S)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its children, those included that have ended; 0 where there is none."""
    total = 0.0
    with suppress(psutil.Error, ValueError):
        parent = psutil.Process(pid) if pid else None
        for process in [parent, *parent.children(recursive=True)] if parent else []:
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


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
