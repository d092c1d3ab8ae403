"""The story of `make demo` measured from outside: the loop step by step, latency, images embedded, CPU by service.

It starts a stack of its own (a state folder that it removes; move the ports by CARGO_PORT_OFFSET), tells the story,
then lets the same stack rest with the generator stopped. `--json FILE` keeps the figures, `--before FILE` shows kept
ones beside them: an older version's, or another machine's.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import xmlrpc.client
from pathlib import Path
from typing import Annotated, Any

import psycopg2
import typer
from rich.console import Console
from rich.table import Table

from common.cli import run
from common.settings import target_database_url
from local_stack.inspection.status import cpu_seconds
from local_stack.processes.supervision import Supervisor

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)
console = Console()

POLL_INTERVAL_S = 0.5
CPU_EVERY_S = 5.0
SETTLE_S = 20.0
"""A stack that has just started is not at rest."""

OURS = {"api", "connect-reconciler", "data-generator", "data-subscriber", "drift-monitor", "model-adapter"}
COMMANDS = [sys.executable, "-m", "local_stack"]

MOMENTS = """
select 'first prediction', extract(epoch from min(predicted_at)) from cargo_prediction
union all select 'tuesday begins', extract(epoch from min(predicted_at)) from cargo_prediction where dataset = 'tuesday'
union all select 'alarm', extract(epoch from min(began_at)) from drift_alarm
union all
select 'new champion answers', extract(epoch from min(predicted_at)) from cargo_prediction where model_version = '2'
"""

LATENCY = """
select percentile_cont(%s) within group (order by extract(epoch from predicted_at - "timestamp") * 1000)
from cargo_prediction where predicted_at between to_timestamp(%s) and to_timestamp(%s)
"""

Cpu = tuple[float, dict[str, float]]


class Watch(threading.Thread):
    """Reads what happens while a stack runs, until `over`."""

    def __init__(self, state: Path, demo_pid: int | None = None) -> None:
        super().__init__(daemon=True)
        self._supervisor, self._demo_pid = Supervisor(state), demo_pid
        self.over = threading.Event()
        self.cpu: list[Cpu] = []
        self.states: dict[str, float] = {}
        self.moments: dict[str, float] = {}
        self.adaptation: dict[str, Any] = {}
        self.latency: dict[str, float] = {}

    def run(self) -> None:
        next_cpu = 0.0
        while not self.over.wait(POLL_INTERVAL_S):
            if time.monotonic() >= next_cpu:
                self._read_cpu()
                next_cpu = time.monotonic() + CPU_EVERY_S
            try:
                self._read_tables()
            except psycopg2.Error:
                continue

    def _read_cpu(self) -> None:
        try:
            processes = self._supervisor.processes()
        except (OSError, xmlrpc.client.Error):
            return
        used = {name: cpu_seconds(each["pid"]) for name, each in processes.items() if each["pid"]}
        if self._demo_pid:
            used["demo itself"] = cpu_seconds(self._demo_pid)
        self.cpu.append((time.time(), used))

    def _read_tables(self) -> None:
        connection = psycopg2.connect(target_database_url(), connect_timeout=2)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("select state, row_to_json(adaptation) from adaptation order by id desc limit 1")
                for state, row in cursor.fetchall():
                    self.states.setdefault(state, time.time())
                    self.adaptation = row
                cursor.execute(MOMENTS)
                self.moments |= {name: float(at) for name, at in cursor.fetchall() if at is not None}
                if "alarm" in self.moments:
                    self._read_latency(cursor)
        finally:
            connection.close()

    def _read_latency(self, cursor: Any) -> None:
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            spans = {"until the alarm": (self.moments["tuesday begins"] - 5, self.moments["alarm"])}
            if new := self.moments.get("new champion answers"):
                spans["with the new model"] = (new + 3, time.time())
            for span, (begin, end) in spans.items():
                cursor.execute(LATENCY, (share, begin, end))
                (milliseconds,) = cursor.fetchone()
                if milliseconds is not None:
                    self.latency[f"{name} {span}, ms"] = milliseconds


def shares(cpu: list[Cpu], since: float) -> dict[str, float]:
    """Percent of a core by service after `since`; of what runs all the time."""
    inside = [entry for entry in cpu if entry[0] >= since]
    (start, first), (stop, last) = inside[0], inside[-1]
    used = {name: 100 * (last[name] - first[name]) / (stop - start) for name in last if name in first}
    return {**used, "our own services": sum(share for name, share in used.items() if name in OURS)}


def tell_story(folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run the demo; the figures of its story."""
    began = time.time()
    demo = subprocess.Popen([*COMMANDS, "demo"], env=environment)
    watch = Watch(folder, demo.pid)
    watch.start()
    status = demo.wait()
    watch.over.set()
    watch.join()
    moments = {name: at - began for name, at in (watch.moments | watch.states).items()}
    gate = watch.adaptation.get("gate") or {}
    loop = moments.get("new champion answers", 0) - moments.get("alarm", 0)
    return {
        "whole demo": {"exit status": status, "seconds": time.time() - began},
        "seconds since the start": dict(sorted(moments.items(), key=lambda item: item[1])),
        "loop, seconds": {"alarm to new champion answering": loop, **(watch.adaptation.get("steps") or {})},
        "images of the run": {"labelled": watch.adaptation.get("images"), **(gate.get("embedded") or {})},
        "latency": watch.latency,
        "percent of a core, story": shares(watch.cpu, watch.moments["first prediction"] + 5),
    }


def rest(folder: Path, environment: dict[str, str], seconds: float) -> dict[str, float]:
    """Start the stack again without a generator; CPU by service."""
    subprocess.run([*COMMANDS, "up"], env=environment, check=True, stdout=subprocess.DEVNULL)
    Supervisor(folder).stop_service("data-generator")
    time.sleep(SETTLE_S)
    watch = Watch(folder)
    watch.start()
    time.sleep(seconds)
    watch.over.set()
    watch.join()
    return shares(watch.cpu, 0)


def show(title: str, now: dict[str, Any], before: dict[str, Any]) -> None:
    """One table, with the former figures beside where there are any."""
    table = Table(title, *(["before"] if before else []), "now", title_justify="left")
    for name in dict.fromkeys([*before, *now]):
        cells = [_text(figures.get(name)) for figures in ([before, now] if before else [now])]
        table.add_row(name, *cells)
    console.print(table)


def _text(value: object) -> str:
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


@app.command(help=__doc__)
def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Keep the figures here.")] = None,
    before: Annotated[Path | None, typer.Option(help="Kept figures to show beside.")] = None,
    rest_s: Annotated[float, typer.Option(help="Seconds of rest to measure; 0 = none.")] = 120.0,
) -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp(prefix="cargo-loop-"))
    folder.chmod(0o755)  # root's databases run as another user
    environment = {**os.environ, "LOCAL_STACK_STATE_DIR": str(folder)}
    try:
        figures = tell_story(folder, environment)
        if rest_s:
            figures["percent of a core, at rest"] = rest(folder, environment, rest_s)
    finally:
        subprocess.run([*COMMANDS, "clean"], env=environment, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1))
    old = json.loads(before.read_text()) if before else {}
    for title, values in figures.items():
        show(title, values, old.get(title, {}))


if __name__ == "__main__":
    run(app)
