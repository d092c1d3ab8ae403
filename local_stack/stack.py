"""Bringing the whole stack up and down."""

import logging
import time

from rich.console import Console

from common.cli import UserError
from local_stack.inspection.status import ServiceState, service_states, work_done
from local_stack.processes.data_sets import prepare_data_sets, remember_data_set
from local_stack.processes.ports import check_ports
from local_stack.processes.postgres import ensure_service_user
from local_stack.processes.services import SERVICES
from local_stack.processes.supervision import Supervisor
from local_stack.settings import Settings
from local_stack.stall_detection import STALL_S, StallDetector

POLL_INTERVAL_S = 0.5

log = logging.getLogger(__name__)


def start(settings: Settings, environment: dict[str, str]) -> Supervisor:
    """Prepare images and start every service with `environment` added; returns at once, `UserError` if already up."""
    supervisor = Supervisor(settings.state_dir)
    if supervisor.running():
        raise UserError("the stack is up already. See it with `make status`, end it with `make down-local`.")
    check_ports()
    ensure_service_user()
    remember_data_set(settings)
    # The services run in the state folder: what was given relative to the caller's folder is made absolute.
    state = {
        "LOCAL_STACK_STATE_DIR": str(supervisor.state_dir),
        "API_SERVING_MODEL_DIR": str(supervisor.state_dir / "api" / "models"),
    }
    supervisor.start({**prepare_data_sets(settings), **state, **environment})
    return supervisor


def wait_until_ready(supervisor: Supervisor, console: Console) -> None:
    """Return when every service is ready and every job done; `UserError` names what failed or no longer gets on."""
    patience = StallDetector()
    with console.status("starting") as line:
        while pending := pending_services(supervisor):
            line.update(f"waiting for {', '.join(pending)}")
            patience.see((*pending, work_done(supervisor, pending)))
            if patience.lost:
                raise UserError(
                    f"nothing has moved for {STALL_S:g} s, and not ready yet: {', '.join(pending)}. "
                    "Ask `make doctor`, or see `make logs S=name`."
                )
            time.sleep(POLL_INTERVAL_S)


def pending_services(supervisor: Supervisor) -> list[str]:
    """Those that are neither ready nor done; `UserError` when one has failed."""
    states = service_states(supervisor)
    raise_on_failure(supervisor, states)
    return [state.name for state in states if not state.good]


def running(settings: Settings) -> Supervisor:
    """The supervisor of the stack that is up; `UserError` if none is."""
    supervisor = Supervisor(settings.state_dir)
    if not supervisor.running():
        raise UserError("the stack is not up. Start it with `make up-local` or `make demo`.")
    return supervisor


def known_service(name: str) -> str:
    """Return `name` if it is a service; `UserError` lists them otherwise."""
    names = [service.name for service in SERVICES]
    if name not in names:
        raise UserError(f"there is no service {name!r}. There are: {', '.join(names)}.")
    return name


def raise_on_failure(supervisor: Supervisor, states: list[ServiceState]) -> None:
    """Raise `UserError` with the end of its log when the supervisor has given a service up."""
    for state in states:
        if state.state == "failed":
            tail = supervisor.log_file(state.name).read_text(errors="replace").splitlines()[-8:]
            raise UserError("\n".join([f"{state.name} failed ({state.detail}). The end of its log:", *tail]))
