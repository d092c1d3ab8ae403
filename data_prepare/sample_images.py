"""Render the sample data set `monday`: five classes of truck cargo, offline, the same pictures on every run."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from common.cli import run
from common.paths import IMAGE_ROOT
from data_prepare.files import write_atomically
from data_prepare.parallel import DEFAULT_WORKERS, Workers, map_with_progress
from data_prepare.rendering.scene import MATERIALS, render

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Job:
    """Renders one picture of the data set; a class, so that it can travel to worker processes."""

    output: Path
    side: int
    seed: int

    def __call__(self, name: str) -> None:
        """Render and write `CLASS/CLASS_N.jpg`. The picture depends on the seed and the name alone."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest, "big"))
        write_atomically(self.output / name, render(name.split("/")[0], self.side, rng))


@app.command()
def main(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to fill.")] = IMAGE_ROOT / "monday",
    per_class: Annotated[int, typer.Option(min=1, max=100_000, help="Pictures in each class.")] = 120,
    side: Annotated[int, typer.Option(min=32, max=640, help="Pixels a side.")] = 320,
    seed: Annotated[int, typer.Option(help="Another seed, other pictures.")] = 0,
    workers: Workers = DEFAULT_WORKERS,
) -> None:
    """Render pictures of five classes of cargo. Pictures that are there already are kept."""
    names = [f"{material}/{material}_{number}.jpg" for material in MATERIALS for number in range(per_class)]
    missing = [name for name in names if not (output / name).is_file()]
    map_with_progress(Job(output, side, seed), missing, workers, "rendering")
    typer.echo(f"{len(missing)} pictures rendered, {len(names) - len(missing)} kept in {output}")


if __name__ == "__main__":
    run(app)
