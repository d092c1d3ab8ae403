"""Runs the services under supervisord, and asks it about them."""

import os
import subprocess
import sys
import xmlrpc.client
from pathlib import Path
from typing import Any, cast

from supervisor.xmlrpc import SupervisorTransport

from common.cli import UserError
from common.waiting import wait_until
from local_stack.processes.services import SERVICES, Service

LONGEST_SOCKET_PATH = 90
"""A Unix socket's path may have some 100 bytes; supervisord binds a longer temporary name first."""

STOP_TIMEOUT_S = 60.0


class Supervisor:
    """The supervisord that keeps its configuration, socket and logs in `state_dir`."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir.resolve()
        self._socket = self.state_dir / "supervisor.sock"
        self._pid_file = self.state_dir / "supervisord.pid"

    def log_file(self, service: str) -> Path:
        """Where the output of `service` goes."""
        return self.state_dir / "logs" / f"{service}.log"

    def start(self, environment: dict[str, str]) -> None:
        """Start supervisord in the background, and by it every service with `environment` added."""
        if len(str(self._socket)) > LONGEST_SOCKET_PATH:
            raise UserError(f"{self._socket} is too long for a socket. Set LOCAL_STACK_STATE_DIR to a shorter path.")
        (self.state_dir / "logs").mkdir(parents=True, exist_ok=True)
        configuration = self.state_dir / "supervisord.conf"
        configuration.write_text("\n".join([self._main_section(), *map(self._program_section, SERVICES)]))
        subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(configuration)],
            check=True,
            env={**os.environ, **environment},
            cwd=self.state_dir,
        )
        wait_until(self.running, "supervisord", timeout_s=10)

    def running(self) -> bool:
        """Whether supervisord answers."""
        try:
            return bool(self._call("getState"))
        except OSError:
            return False

    def processes(self) -> dict[str, dict[str, Any]]:
        """What supervisord knows of each service: `statename`, `pid`, `description`, `exitstatus`, ..."""
        answers = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        return {answer["name"]: answer for answer in answers}

    def start_service(self, name: str) -> None:
        """Start one service that was stopped."""
        self._call("startProcess", name, False)

    def stop_service(self, name: str) -> None:
        """Stop one service (SIGTERM) and wait for its end; it stays stopped."""
        self._call("stopProcess", name, True)

    def shutdown(self) -> None:
        """Stop every service and supervisord itself; returns when all are gone."""
        pid = int(self._pid_file.read_text())
        self._call("shutdown")
        wait_until(lambda: not _alive(pid), "end of the stack", STOP_TIMEOUT_S)

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)

    def _main_section(self) -> str:
        user = "user=root\n" if os.geteuid() == 0 else ""
        return (
            f"[unix_http_server]\nfile={_escape(self._socket)}\nchmod=0700\n"
            f"[supervisord]\n{user}pidfile={_escape(self._pid_file)}\n"
            f"logfile={_escape(self.log_file('supervisord'))}\nlogfile_maxbytes=1MB\nlogfile_backups=1\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        )

    def _program_section(self, service: Service) -> str:
        command = " ".join(f'"{_escape(part)}"' for part in service.command)
        # A job waits for what it needs and ends with 0, or with a message that trying again would only repeat; one that
        # is killed is started again. A service is expected to stay.
        restart = "unexpected" if service.job else "true"
        return (
            f"[program:{service.name}]\ncommand={command}\n"
            f"autorestart={restart}\nexitcodes=0,1,2\nstartsecs={0 if service.job else 1}\n"
            # Tries that fail at once are spaced out by supervisord, one second more each time.
            "startretries=20\n"
            f"stopsignal={service.stop_signal}\nstopwaitsecs=20\nkillasgroup=true\n"
            f"redirect_stderr=true\nstdout_logfile={_escape(self.log_file(service.name))}\n"
            "stdout_logfile_maxbytes=10MB\nstdout_logfile_backups=1\n"
        )


def _escape(value: object) -> str:
    """Supervisor expands %(name)s in its configuration."""
    return str(value).replace("%", "%%")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
