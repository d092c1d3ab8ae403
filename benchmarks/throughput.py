"""Rows a second from the source table to a stored prediction, beside what one would otherwise write: a loop.

Needs a running stack (`make up-local`). In each round the same images take three ways: a burst of rows through the
whole pipeline; `POST /predict`, one request after the other; and the served ONNX model in this process, one by one.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import numpy.typing as npt
import psycopg2
import typer
from psycopg2.extras import execute_values
from rich.console import Console
from rich.progress import track
from rich.table import Table

from api_serving.models.registry_client import ModelNotRegistered, Registry, RegistryUnavailable
from common.cli import UserError, run
from common.names import CHAMPION, MODEL_NAME
from common.paths import IMAGE_ROOT
from common.pictures.images import open_image, to_model_input
from common.postgres import Connection
from common.settings import api_url, mlflow_tracking_uri, source_database_url, target_database_url
from common.waiting import wait_until

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)
console = Console()

Image = tuple[str, str, int | None]
"""Data set, path below its folder, true class."""

BURST_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Way:
    """What one way of predicting took in one round: rows a second, and each row's time in milliseconds."""

    rows_per_second: float
    milliseconds: list[float]


class Pipeline:
    """Rows in at the source database, predictions out at the target database. Both clocks are this machine's."""

    def __init__(self, source: Connection, target: Connection) -> None:
        self._source, self._target = source, target
        source.autocommit = target.autocommit = True

    def images(self, count: int) -> list[Image]:
        """`count` of the rows that are there already, at random."""
        with self._source.cursor() as cursor:
            cursor.execute("select dataset, image_path, target from cargo order by random() limit %s", (count,))
            found = cursor.fetchall()
        if not found:
            raise UserError("the source table is empty. Wait until the data generator has loaded its rows.")
        return [found[number % len(found)] for number in range(count)]

    def burst(self, images: list[Image]) -> Way:
        """Insert all rows in one transaction, and wait for the last prediction."""
        began = time.time()
        stored = self._outcomes(self._insert(images))
        waits = [(moment - began) * 1000 for moment in stored]
        return Way(len(images) / (max(waits) / 1000), waits)

    def steady(self, images: list[Image], rows_per_second: float) -> list[float]:
        """Insert row by row at an even pace; each row's milliseconds from its insertion to its stored prediction."""
        began, ids = {}, []
        start = time.monotonic()
        for number, image in enumerate(
            track(images, "steady stream", console=console, transient=True, disable=not console.is_terminal)
        ):
            time.sleep(max(0.0, start + number / rows_per_second - time.monotonic()))
            moment = time.time()
            ids += self._insert([image])
            began[ids[-1]] = moment
        return [(stored - began[row]) * 1000 for row, stored in zip(ids, self._outcomes(ids), strict=True)]

    def _insert(self, images: list[Image]) -> list[int]:
        with self._source.cursor() as cursor:
            statement = "insert into cargo (dataset, image_path, target) values %s returning id"
            return [row[0] for row in execute_values(cursor, statement, images, page_size=len(images), fetch=True)]

    def _outcomes(self, ids: list[int]) -> list[float]:
        """When each row's prediction was stored, in the order of `ids`, in seconds since 1970."""
        query = "select id, extract(epoch from predicted_at)::float from cargo_prediction where id = any(%s)"

        def all_stored() -> dict[int, float] | None:
            with self._target.cursor() as cursor:
                cursor.execute(query, (ids,))
                found: dict[int, float] = dict(cursor.fetchall())
            return found if len(found) == len(ids) else None

        stored = wait_until(all_stored, f"{len(ids)} rows predicted", BURST_TIMEOUT_S, interval_s=0.1)
        return [stored[row] for row in ids]


def one_by_one(images: list[Image], predict: Callable[[Image], object], what: str) -> Way:
    """Predict each image when the one before it is done."""
    times = []
    for image in track(images, what, console=console, transient=True, disable=not console.is_terminal):
        began = time.perf_counter()
        predict(image)
        times.append((time.perf_counter() - began) * 1000)
    return Way(len(images) / (sum(times) / 1000), times)


def request(client: httpx.Client) -> Callable[[Image], object]:
    """Prediction by the API, over one kept connection."""

    def predict(image: Image) -> object:
        response = client.post("/predict", json={"dataset": image[0], "image_path": image[1]})
        if response.status_code != httpx.codes.OK:
            raise UserError(f"the API answered {response.status_code}: {response.text[:200]}. Ask `make doctor`.")
        return response.json()

    return predict


def in_process(image_root: Path) -> Callable[[Image], object]:
    """Prediction by the champion's ONNX graph, as in a script: read, decode, run, with onnxruntime's own threads."""
    registry = Registry(mlflow_tracking_uri(), timeout_s=30)
    with tempfile.TemporaryDirectory() as folder:
        try:
            champion = registry.by_alias(MODEL_NAME, CHAMPION)
            _, _, classifier = registry.download(champion, Path(folder), threads=0)
        except (RegistryUnavailable, ModelNotRegistered) as error:
            raise UserError(f"{error}. Start the stack with `make up-local`.") from error

    def predict(image: Image) -> npt.NDArray[np.float32]:
        data = (image_root / image[0] / image[1]).read_bytes()
        return classifier.probabilities(to_model_input(open_image(data))[np.newaxis])

    return predict


def connected(url: str) -> Any:
    """A connection that is closed at the end of `with`."""
    try:
        return closing(psycopg2.connect(url, connect_timeout=5))
    except psycopg2.OperationalError as error:
        raise UserError(f"{' '.join(str(error).split())} Start the stack with `make up-local`.") from error


def quantiles(milliseconds: list[float]) -> Iterator[str]:
    for share in (0.5, 0.99):
        yield f"{float(np.quantile(milliseconds, share)):,.0f}"


@app.command(help=__doc__)
def main(
    rows: Annotated[int, typer.Option(min=100, max=100_000, help="Rows of each burst.")] = 2000,
    single: Annotated[int, typer.Option(min=10, help="Images of each one-by-one loop.")] = 300,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the medians are shown.")] = 3,
    rate: Annotated[float, typer.Option(min=1, help="Rows a second of the steady stream.")] = 20.0,
    image_root: Annotated[Path, typer.Option(help="Folder that holds the data sets' folders.")] = IMAGE_ROOT,
) -> None:
    """Measure, and print the ratios."""
    ways: dict[str, list[Way]] = {"pipeline, burst": [], "POST /predict, one by one": [], "ONNX, one by one": []}
    with connected(source_database_url()) as source, connected(target_database_url()) as target:
        pipeline = Pipeline(source, target)
        local = in_process(image_root)
        with httpx.Client(base_url=api_url(), timeout=60) as client:
            for turn in range(rounds):
                images = pipeline.images(rows)
                with console.status(f"round {turn + 1} of {rounds}: {rows} rows through the pipeline"):
                    ways["pipeline, burst"].append(pipeline.burst(images))
                some = images[:single]
                ways["POST /predict, one by one"].append(one_by_one(some, request(client), "POST /predict"))
                ways["ONNX, one by one"].append(one_by_one(some, local, "ONNX in this process"))
        steady = pipeline.steady(pipeline.images(single), rate)
    table = Table("way", "rows/s", "pipeline is", "p50 ms", "p99 ms", title=f"medians of {rounds} × {rows} rows")
    median = {name: statistics.median(way.rows_per_second for way in turns) for name, turns in ways.items()}
    for name, turns in ways.items():
        ratio = median["pipeline, burst"] / median[name]
        times = [each for way in turns for each in way.milliseconds]
        table.add_row(name, f"{median[name]:.1f}", f"{ratio:.2f}×", *quantiles(times))
    table.add_row(f"pipeline, {rate:g} rows/s", "", "", *quantiles(steady))
    console.print(table)
    console.print("Times are a row's own; in a burst most of it is waiting for the rows before.")


if __name__ == "__main__":
    run(app)
