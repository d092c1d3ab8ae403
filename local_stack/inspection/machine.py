"""What this machine has, how many images a second it predicts, and what stream that carries."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import psycopg2

from common.settings import api_url, source_database_url

MEASURE_S = 3.0
BATCH = 32
"""Images a request: several chunks for each of the API's threads."""

SAMPLE = 96
"""Images that it is measured with."""

ANSWER_S = 120.0
"""Longest wait for one batch: at a hundredth of a usual machine's speed it takes about a minute."""

CARRIED_SHARE = 0.6
"""Of what it predicts when it does nothing else: databases, Kafka and a training run need the rest."""

FASTEST_STREAM = 40.0
"""Rows a second: more would only end the story before one has read it."""


class NotMeasured(Exception):
    """The API could not be asked; the text says why."""


@dataclass(frozen=True)
class Machine:
    """`memory` and `disk` in bytes: of the whole machine, and what is free where the state lies."""

    cores: int
    memory: int
    free_memory: int
    free_disk: int

    def __str__(self) -> str:
        return (
            f"{self.cores} {'core' if self.cores == 1 else 'cores'}, {self.memory / 2**30:.1f} GiB of memory "
            f"({self.free_memory / 2**30:.1f} free), {self.free_disk / 2**30:.0f} GiB of disk free"
        )


def read_machine(state_dir: Path) -> Machine:
    """What this process may use. The state's folder need not exist yet."""
    memory = psutil.virtual_memory()
    there = next(folder for folder in [state_dir.resolve(), *state_dir.resolve().parents] if folder.exists())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, memory.total, memory.available, shutil.disk_usage(there).free)


def images_per_second(
    client: httpx.Client,
    image_paths: Sequence[str],
    measure_s: float = MEASURE_S,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Let the API predict images of monday for about `measure_s`. Raises `NotMeasured`."""
    if not image_paths:
        raise NotMeasured("there are no images to ask about yet")
    batches = [list(image_paths[start : start + BATCH]) for start in range(0, len(image_paths), BATCH)]
    # A first answer may wait for memory that later ones find.
    _predict(client, batches[0][:8])
    began, done, turn = clock(), 0, 0
    while clock() - began < measure_s:
        done += _predict(client, batches[turn % len(batches)])
        turn += 1
    if done == 0:
        raise NotMeasured("the API predicted none of the images it was asked about")
    return done / (clock() - began)


def stream_rate(measured: float, most: float = FASTEST_STREAM) -> float:
    """Rows a second to ask for: what the machine carries beside all else, never more than `most`, nor less than 1."""
    return max(1.0, float(int(min(most, CARRIED_SHARE * measured))))


def verdict(measured: float, most: float = FASTEST_STREAM) -> str:
    """One sentence for people."""
    return (
        f"this machine predicts about {measured:.0f} images a second; the demo streams {stream_rate(measured, most):g}"
    )


def measure() -> float:
    """Images a second that the API of the running stack predicts now. Raises `NotMeasured`."""
    try:
        with closing(psycopg2.connect(source_database_url(), connect_timeout=5)) as source, source.cursor() as cursor:
            cursor.execute("select image_path from cargo where dataset = 'monday' order by id limit %s", (SAMPLE,))
            paths = [row[0] for row in cursor.fetchall()]
    except psycopg2.Error as error:
        raise NotMeasured(f"the source database does not answer ({type(error).__name__})") from error
    with httpx.Client(base_url=api_url(), trust_env=False) as client:
        return images_per_second(client, paths)


def _predict(client: httpx.Client, image_paths: Sequence[str]) -> int:
    items = [{"image_path": path} for path in image_paths]
    try:
        answer = client.post("/predict/batch", json={"items": items}, timeout=ANSWER_S).raise_for_status()
    except httpx.HTTPError as error:
        raise NotMeasured(f"the API does not answer ({type(error).__name__})") from error
    return sum("target" in result for result in answer.json()["results"])
