"""Start-up to the first prediction, image sizes and memory at rest of the whole Compose stack.

It runs as a project of its own, with images and volumes of its own that it removes at the end. What `docker compose
build` has built before is not built again, and building is not in the times. It needs the published ports: take your
stack down before (`docker compose down` keeps its data).
"""

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from common.cli import UserError, run
from common.paths import REPOSITORY
from common.waiting import wait_until

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)
console = Console()

PROJECT = "cargo-benchmark"
FIRST_PREDICTION_TIMEOUT_S = 600.0
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

FIRST_PREDICTION = (
    "select extract(epoch from min(predicted_at)) from cargo_prediction where predicted_at > to_timestamp({})"
)


@dataclass(frozen=True)
class Part:
    """A service's image, its size, and what its container holds in memory at rest, in bytes."""

    service: str
    image: str
    size: int
    memory: int


class Stack:
    """The root's compose file under the benchmark's project name, with some services left out."""

    def __init__(self, without: list[str]) -> None:
        _docker("info", hint="No Docker engine answers. Start one, or measure plain processes with throughput.py.")
        every = self._compose("config", "--services").split()
        if unknown := set(without) - set(every):
            raise UserError(
                f"no service is called {', '.join(sorted(unknown))}. There are: {', '.join(sorted(every))}."
            )
        self.services = [service for service in every if service not in without]

    def build(self) -> None:
        """Make the project's images, and fetch those of others that are missing: neither is part of a start."""
        self._compose("pull", "--ignore-buildable", "--policy", "missing", *self.services)
        self._compose("build", *self.services)

    def images(self) -> dict[str, str]:
        """Each service's image; what is built here has Compose's own name for it."""
        services = json.loads(self._compose("config", "--format", "json"))["services"]
        return {name: services[name].get("image") or f"{PROJECT}-{name}" for name in self.services}

    def start(self) -> float:
        """Start everything; seconds until the first prediction that is made from now on is stored."""
        began = time.time()
        self._compose("up", "--detach", "--no-build", *self.services)
        stored = wait_until(
            lambda: self._first_prediction(began), "the first prediction", FIRST_PREDICTION_TIMEOUT_S, interval_s=0.5
        )
        return stored - began

    def stop(self, *, for_good: bool = False) -> None:
        """Remove the containers, and with `for_good` the volumes and built images, of the benchmark's own project."""
        self._compose("down", "--remove-orphans", *(["--volumes", "--rmi", "local"] if for_good else []))

    def parts(self) -> list[Part]:
        """What is running now."""
        rows = [json.loads(line) for line in self._compose("ps", "--format", "json").splitlines()]
        names = {row["Name"]: row["Service"] for row in rows}
        usage = _docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *names)
        memory = {line.split()[0]: _bytes(line.split()[1]) for line in usage.splitlines()}
        images = self.images()
        sizes = {
            image: int(_docker("image", "inspect", "--format", "{{.Size}}", image)) for image in set(images.values())
        }
        return [
            Part(service, images[service], sizes[images[service]], memory[name])
            for name, service in sorted(names.items(), key=lambda pair: pair[1])
        ]

    def _first_prediction(self, since: float) -> float | None:
        psql = ["psql", "-U", "targetuser", "-d", "targetdatabase", "-tAc", FIRST_PREDICTION.format(since)]
        try:
            answer = self._compose("exec", "-T", "target-postgres-server", *psql).strip()
        except UserError:  # The container or the table is not there yet.
            return None
        return float(answer) if answer else None

    def _compose(self, *arguments: str) -> str:
        return _docker("compose", "--project-name", PROJECT, *arguments)


def _docker(*arguments: str, hint: str = "") -> str:
    """Run docker at the repository's root; `UserError` with its last words when it fails."""
    environment = {**os.environ, "CARGO_NETWORK": PROJECT}
    try:
        done = subprocess.run(
            ["docker", *arguments],  # noqa: S607 - whichever docker the user has
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise UserError(f"docker cannot be run ({error.strerror}). {hint or 'Install it.'}") from error
    if done.returncode != 0:
        words = " ".join(done.stderr.split()[-60:])
        raise UserError(hint or f"docker {' '.join(arguments[:6])} failed: {words}")
    return done.stdout


def _bytes(text: str) -> int:
    """What docker prints as 123.4MiB."""
    match = re.fullmatch(r"([\d.]+)(\w+)", text)
    if match is None or match[2] not in UNITS:
        raise UserError(f"docker stats printed {text!r} for memory, which is not known here.")
    return round(float(match[1]) * UNITS[match[2]])


def _table(parts: list[Part]) -> Table:
    table = Table("service", "image", "size MB", "memory MiB")
    for part in parts:
        table.add_row(part.service, part.image, f"{part.size / 1e6:,.0f}", f"{part.memory / 2**20:,.0f}")
    different = {part.image: part.size for part in parts}
    table.add_section()
    table.add_row("all", f"{len(different)} images", f"{sum(different.values()) / 1e6:,.0f}", _mebibytes(parts))
    return table


def _mebibytes(parts: list[Part]) -> str:
    return f"{sum(part.memory for part in parts) / 2**20:,.0f}"


@app.command(help=__doc__)
def main(
    without: Annotated[list[str] | None, typer.Option(help="Service to leave out; may be given several times.")] = None,
    rest: Annotated[float, typer.Option(min=0, help="Seconds from the first prediction to the look at memory.")] = 60.0,
) -> None:
    """Start from nothing, look, stop, start again with the data kept, and remove everything."""
    stack = Stack(without or [])
    stack.stop(for_good=True)
    try:
        with console.status("building"):
            stack.build()
        with console.status("first start: empty volumes, no model yet"):
            first = stack.start()
        with console.status(f"at rest for {rest:g} s"):
            time.sleep(rest)
            parts = stack.parts()
        with console.status("second start: data and model are kept"):
            stack.stop()
            second = stack.start()
    finally:
        stack.stop(for_good=True)
    console.print(_table(parts))
    console.print(f"first start to first prediction, with training: {first:.1f} s")
    console.print(f"second start to first prediction:               {second:.1f} s")
    console.print("Images share layers, so that together they take less room than the sum.")


if __name__ == "__main__":
    run(app)
