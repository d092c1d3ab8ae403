"""Finds out before the start which ports are taken, and by whom."""

import errno
import socket
from contextlib import suppress

import psutil

from common.cli import UserError
from common.settings import local_port
from local_stack.processes.services import SERVICES


def check_ports() -> None:
    """Raise `UserError` that names every port of the stack that another process holds."""
    wanted = {local_port(port): name for service in SERVICES for name, port in service.ports.items()}
    if taken := [f"{port} ({name}{_holder(port)})" for port, name in sorted(wanted.items()) if _busy(port)]:
        raise UserError(
            f"busy ports: {', '.join(taken)}. Stop what holds them, or move the whole stack to another range, "
            "for example with CARGO_PORT_OFFSET=10000."
        )


def _busy(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: a connection that is only fading away does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _holder(port: int) -> str:
    # Other users' processes are only visible to root.
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f", held by {psutil.Process(connection.pid).name()}, process {connection.pid}"
    return ""
