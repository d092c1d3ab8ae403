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
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import Annotated

import httpx
import numpy as np
import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.swap_versions import Versions
from common.cli import UserError, run
from common.paths import IMAGE_ROOT, REPOSITORY
from common.settings import mlflow_tracking_uri
from common.waiting import wait_until

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)
console = Console()

BATCH_EVERY = 5
"""Every fifth request asks for two images, which two workers predict in two runs: where versions could mix."""

SWAP_TIMEOUT_S = 60.0

SETTLED_S = 4.0
"""Until the API has given back what the former model took; then its memory is read."""


@dataclass
class Answers:
    """What came back: milliseconds since the request was due, failures, and who said what."""

    milliseconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    mixed: int = 0
    version: str = ""
    confidences: dict[tuple[str, str], set[float]] = field(default_factory=lambda: defaultdict(set))

    def take(self, images: list[str], response: httpx.Response, milliseconds: float) -> None:
        self.milliseconds.append(milliseconds)
        results = response.json().get("results") if response.is_success else None
        if not results or any("target" not in item for item in results):
            self.failed.append(response.text[:200])
            return
        versions = {item["model_version"] for item in results}
        self.mixed += len(versions) > 1
        self.version = versions.pop()
        for image, item in zip(images, results, strict=True):
            self.confidences[item["model_version"], image].add(item["confidence"])

    def disowned(self) -> int:
        """Answers that are not those of the version they name: each version has its own for each image."""
        spread = {key: max(found) - min(found) for key, found in self.confidences.items()}
        return sum(each > 1e-4 for each in spread.values())


class Load:
    """Requests at an even pace, each on its time whatever became of the ones before."""

    def __init__(self, client: httpx.AsyncClient, images: list[str], rate: float) -> None:
        self._client, self._rate = client, rate
        self._images = cycle(images)
        self.answers = Answers()

    @contextmanager
    def recorded(self) -> Iterator[Answers]:
        """The answers to what is sent inside."""
        self.answers = answers = Answers(version=self.answers.version)
        yield answers

    async def run(self) -> None:
        start, number = monotonic(), 0
        async with asyncio.TaskGroup() as requests:
            while True:
                due = start + number / self._rate
                await asyncio.sleep(max(0.0, due - monotonic()))
                images = [next(self._images) for _ in range(1 if number % BATCH_EVERY else 2)]
                requests.create_task(self._ask(images, due, self.answers))
                number += 1

    async def _ask(self, images: list[str], due: float, answers: Answers) -> None:
        items = [{"image_path": image} for image in images]
        try:
            response = await self._client.post("/predict/batch", json={"items": items})
        except httpx.HTTPError as error:
            answers.failed.append(repr(error))
        else:
            answers.take(images, response, (monotonic() - due) * 1000)


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
    command = [sys.executable, "-m", "uvicorn", "api_serving.app:app", "--port", str(port), "--no-access-log"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **environment})
    try:
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def mebibytes(process: psutil.Process) -> int:
    return int(process.memory_info().rss / 2**20)


async def measure(
    address: str, process: psutil.Process, versions: Versions, rate: float, swaps: int, quiet_s: float, rollbacks: int
) -> None:
    images = [f"{file.parent.name}/{file.name}" for file in sorted((IMAGE_ROOT / "monday").glob("*/*"))[:200]]
    async with httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as client:
        load = Load(client, images, rate)
        sending = asyncio.create_task(load.run())
        await asyncio.sleep(5)  # the memory that serving itself takes is taken
        with load.recorded() as quiet:
            await asyncio.sleep(quiet_s)
        memory = [mebibytes(process)]
        order = cycle(versions.numbers[1:] + versions.numbers[:1])
        with load.recorded() as swapping:
            began, taken = monotonic(), []
            for number in range(swaps):
                taken.append(await move(versions, load, next(order)))
                if (number + 1) % max(1, swaps // 4) == 0:
                    await asyncio.sleep(SETTLED_S)
                    memory.append(mebibytes(process))
            lasted = monotonic() - began
        with load.recorded() as returning:
            here, there = versions.numbers[0], versions.numbers[1]
            await move(versions, load, here)
            await move(versions, load, there)
            back = [await move(versions, load, version) for version in [here, there] * (rollbacks // 2)]
        sending.cancel()
        await asyncio.wait([sending])
    table = Table("", "requests", "failed", "mixed", "disowned", "p50 ms", "p99 ms", "longest ms")
    for name, each in (("no swaps", quiet), (f"{swaps} swaps", swapping), (f"{rollbacks} rollbacks", returning)):
        figures = np.quantile(each.milliseconds, [0.5, 0.99, 1])
        counts = (len(each.milliseconds), len(each.failed), each.mixed, each.disowned())
        table.add_row(name, *map(str, counts), *(f"{figure:,.0f}" for figure in figures))
    ratios = np.quantile(swapping.milliseconds, [0.5, 0.99]) / np.quantile(quiet.milliseconds, [0.5, 0.99])
    table.add_row("swaps / no swaps", "", "", "", "", *(f"{ratio:.2f}×" for ratio in ratios), "")
    console.print(table)
    console.print(f"{swaps} swaps in {lasted:.0f} s; from the alias's move to the first answer: {spread(taken)}")
    console.print(f"back to the former version: {spread(back)}")
    console.print(f"memory before, and after each quarter of the swaps, MiB: {', '.join(map(str, memory))}")
    for text in (quiet.failed + swapping.failed + returning.failed)[:5]:
        console.print(f"failed: {text}", markup=False)


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
        environment = {"API_SERVING_MODEL_NAME": name, "API_SERVING_MODEL_DIR": folder}
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
