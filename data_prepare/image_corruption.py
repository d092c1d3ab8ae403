"""Corrupt every image of a folder: white boxes, mosaic patches or a thick line. The drifted `tuesday` is made so."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from common.cli import UserError, run
from data_prepare.codec import decode, encode
from data_prepare.corruptions import CORRUPTIONS
from data_prepare.files import list_images, write_atomically
from data_prepare.parallel import DEFAULT_WORKERS, Workers, map_with_progress

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Job:
    """Corrupts one image of a folder; a class, so that it can travel to worker processes."""

    source: Path
    output: Path
    kind: str
    severity: int
    seed: int

    def __call__(self, name: str) -> str | None:
        """Corrupt the image `name`. Returns why it is unreadable, None if all went well."""
        try:
            picture = decode((self.source / name).read_bytes())
            CORRUPTIONS[self.kind](picture.pixels, image_rng(self.seed, name), self.severity)
            data = encode(picture)
        except (ValueError, OSError) as error:  # InvalidImage is a ValueError; Pillow's encoders raise both.
            return str(error)
        write_atomically(self.output / name, data)
        return None


def image_rng(seed: int, name: str) -> np.random.Generator:
    """Randomness of one image: from the seed and its relative name alone, not from the order of work."""
    digest = hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def check_folders(source: Path, output: Path) -> None:
    """Refuse an output that could replace originals, or that the next run would take for input."""
    inner, outer = source.resolve(), output.resolve()
    if inner == outer or inner in outer.parents or outer in inner.parents:
        raise UserError(f"{output} and {source} lie inside each other. Choose an output folder beside the input.")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file. Choose a folder for the output.")


def check_kind(kind: str) -> str:
    """The registered name itself; a usage error for any other."""
    if kind not in CORRUPTIONS:
        raise typer.BadParameter(f"{kind!r} is not one of {', '.join(CORRUPTIONS)}.")
    return kind


@app.command()
def main(
    source: Annotated[Path, typer.Option("-i", "--input", help="Folder of images or of class folders.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to fill; mirrors the input.")],
    kind: Annotated[
        str,
        typer.Option(
            "--type", callback=check_kind, metavar="|".join(CORRUPTIONS), help="mixed draws one for each image."
        ),
    ],
    severity: Annotated[int, typer.Option(min=1, max=5, help="Count and size; 3 is the reference.")] = 3,
    seed: Annotated[int, typer.Option(help="Another seed, other boxes; the same seed, the same bytes.")] = 0,
    workers: Workers = DEFAULT_WORKERS,
) -> None:
    """Corrupt every image of a folder, keeping names, formats and orientation.

    Unreadable images are named on standard error and left out; the rest is done, and the exit code is 1.
    """
    names = list_images(source)
    check_folders(source, output)
    job = Job(source, output, kind, severity, seed)
    reasons = map_with_progress(job, names, workers, f"corrupting ({kind})")
    unreadable = [(name, reason) for name, reason in zip(names, reasons, strict=True) if reason]
    for name, reason in unreadable:
        typer.echo(f"unreadable: {source / name}: {reason}", err=True)
    typer.echo(f"{len(names) - len(unreadable)} of {len(names)} images corrupted into {output}")
    if unreadable:
        raise typer.Exit(1)


if __name__ == "__main__":
    run(app)
