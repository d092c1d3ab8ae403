"""Swaps of the served model while requests keep coming at an even pace.

Needs a running stack (`make up-local`) for its registry, its champion and its images. Versions of the champion with
slightly other answers are registered as a model of their own, an API process of its own follows it, and the alias moves
from one version to the next. At the end the model is deleted; its files stay in the store until MLflow's own `gc`.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import Annotated

import httpx
import numpy as np
import numpy.typing as npt
import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.open_loop import Answers, Load
from benchmarks.swap_versions import Versions
from common.cli import UserError, run
from common.paths import IMAGE_ROOT, REPOSITORY
from common.settings import mlflow_tracking_uri
from common.waiting import wait_until

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)
console = Console()

SWAP_TIMEOUT_S = 60.0

ROUNDS = 4

UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=100)
"""A request never waits for the ones before it in the client."""

SETTLED_S = 4.0
"""Until the API has given back what the former model took; then its memory is read."""


async def move(versions: Versions, load: Load, version: str) -> float:
    """Point the alias at `version`; seconds from its move to the first answer of that version."""
    began = monotonic()
    await asyncio.to_thread(versions.promote, version)
    while load.answers.version != version:
        if monotonic() - began > SWAP_TIMEOUT_S:
            raise UserError(f"version {version} did not answer within {SWAP_TIMEOUT_S:g} s")
        await asyncio.sleep(0.01)
    return monotonic() - began


@contextmanager
def api(environment: dict[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "api_serving.app:app", "--port", str(port)]
    # Its log has a line for each request.
    process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def mebibytes(process: psutil.Process) -> int:
    return int(process.memory_info().rss / 2**20)


@dataclass
class Round:
    """The same load without swaps and with them, one after the other, so that both meet the same machine."""

    quiet: Answers
    swapping: Answers
    taken: list[float]
    memory: int


async def one_round(
    versions: Versions, load: Load, process: psutil.Process, order: Iterator[str], swaps: int, quiet_s: float
) -> Round:
    quiet = load.record()
    await asyncio.sleep(quiet_s)
    swapping = load.record()
    taken = [await move(versions, load, next(order)) for _ in range(swaps)]
    load.record()
    await asyncio.sleep(SETTLED_S)
    return Round(quiet, swapping, taken, mebibytes(process))


async def measure(
    address: str, process: psutil.Process, versions: Versions, rate: float, swaps: int, quiet_s: float, rollbacks: int
) -> None:
    images = [f"{file.parent.name}/{file.name}" for file in sorted((IMAGE_ROOT / "monday").glob("*/*"))[:200]]
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=UNLIMITED, trust_env=False) as client:
        load = Load(client, images, rate)
        sending = asyncio.create_task(load.run())
        await asyncio.sleep(5)  # the memory that serving itself takes is taken
        before = mebibytes(process)
        order = cycle(versions.numbers[1:] + versions.numbers[:1])
        rounds = [
            await one_round(versions, load, process, order, swaps // ROUNDS, quiet_s / ROUNDS) for _ in range(ROUNDS)
        ]
        returning = load.record()
        here, there = versions.numbers[:2]
        await move(versions, load, here)
        await move(versions, load, there)
        back = [await move(versions, load, version) for version in [here, there] * (rollbacks // 2)]
        sending.cancel()
        await asyncio.wait([sending])
    taken = [seconds for each in rounds for seconds in each.taken]
    table = Table(
        "", "requests", "failed", "mixed", "disowned", "p50 ms", "p99 ms", title=f"medians of {ROUNDS} rounds"
    )
    without, swapping = [each.quiet for each in rounds], [each.swapping for each in rounds]
    for name, answers in (("no swaps", without), (f"{len(taken)} swaps", swapping), ("rollbacks", [returning])):
        table.add_row(name, *totals(answers), *(f"{figure:,.0f}" for figure in latency(answers)))
    table.add_row("swaps / no swaps", "", "", "", "", *(f"{r:.2f}×" for r in latency(swapping) / latency(without)))
    console.print(table)
    console.print(f"from the alias's move to the first answer: {spread(taken)}; back to the former: {spread(back)}")
    console.print(
        f"memory before: {before} MiB; after each round: {', '.join(str(each.memory) for each in rounds)} MiB"
    )
    for text in [text for answers in (*without, *swapping, returning) for text in answers.failed][:5]:
        console.print(f"failed: {text}", markup=False)


def totals(rounds: list[Answers]) -> list[str]:
    counts = [(len(each.milliseconds), len(each.failed), each.mixed, each.wrong_version_answers()) for each in rounds]
    return [str(sum(column)) for column in zip(*counts, strict=True)]


def latency(rounds: list[Answers]) -> npt.NDArray[np.float64]:
    """p50 and p99 in milliseconds, each the median of the rounds."""
    figures = [np.quantile(each.milliseconds, [0.5, 0.99]) for each in rounds]
    return np.asarray(np.median(figures, axis=0))


def spread(seconds: list[float]) -> str:
    median, longest = np.quantile(seconds, [0.5, 1])
    return f"median {median:.2f} s, longest {longest:.2f} s"


@app.command(help=__doc__)
def main(
    swaps: Annotated[int, typer.Option(min=4, help="How often the alias moves.")] = 100,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second.")] = 50.0,
    quiet_s: Annotated[float, typer.Option(min=1, help="Seconds of the same load without swaps, to compare.")] = 60.0,
    rollbacks: Annotated[int, typer.Option(min=2, help="Moves back to the former version.")] = 10,
) -> None:
    """Measure, and print the figures."""
    name = f"swap_benchmark_{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder, Versions(mlflow_tracking_uri(), name, Path(folder)) as versions:
        environment = {
            "API_SERVING_MODEL_NAME": name,
            "API_SERVING_MODEL_DIR": folder,
            # A machine that is too slow for the rate shall show in the latencies, not as requests told to come later.
            "API_SERVING_MAX_PENDING": "1000",
        }
        with api(environment) as (address, process):
            wait_until(lambda: is_ready(address), "the API is ready", 60)
            asyncio.run(measure(address, process, versions, rate, swaps, quiet_s, rollbacks))


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    run(app)
