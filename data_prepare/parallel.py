"""The same function over many items, in several processes, with a progress bar on standard error."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from common.cli import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

Workers = Annotated[int, typer.Option(min=1, max=256, help="Processes; the bytes are the same whatever the number.")]
DEFAULT_WORKERS = min(os.cpu_count() or 1, 256)


def map_with_progress(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, label: str
) -> list[Result]:
    """Results in the order of `items`. `function` must be picklable; the first exception of a call ends the run."""
    with ExitStack() as stack:
        results: Iterable[Result]
        if min(workers, len(items)) <= 1:
            results = map(function, items)
        else:
            # Forking a process that has threads (the progress bar's) can deadlock the child.
            spawn = multiprocessing.get_context("spawn")
            # Ctrl-C is the parent's to handle: a traceback from each worker would bury its one line.
            ignore = (signal.SIGINT, signal.SIG_IGN)
            pool = stack.enter_context(
                ProcessPoolExecutor(min(workers, len(items)), spawn, initializer=signal.signal, initargs=ignore)
            )
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            results = pool.map(function, items, chunksize=4)
        try:
            return list(track(results, label, total=len(items), console=Console(stderr=True)))
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process died, most likely for lack of memory. Run again with fewer --workers."
            ) from error
