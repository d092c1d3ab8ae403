"""Make `monday`, `tuesday` and their manifests where they are missing; what an earlier call finished is kept."""

from pathlib import Path
from typing import Annotated

import typer

from common.cli import UserError, run
from common.paths import IMAGE_ROOT, MANIFESTS
from data_prepare import image_corruption, image_list, sample_images
from data_prepare.files import class_folders, images_in
from data_prepare.parallel import DEFAULT_WORKERS, Workers

app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
def main(
    root: Annotated[Path, typer.Option(help="Folder that holds one folder a data set.")] = IMAGE_ROOT,
    output: Annotated[Path, typer.Option(help="Folder for the manifests.")] = MANIFESTS,
    render: Annotated[bool, typer.Option(help="Render monday; without it monday holds your own images.")] = True,
    corrupt: Annotated[bool, typer.Option(help="Make tuesday from monday; without it tuesday is your own.")] = True,
    workers: Workers = DEFAULT_WORKERS,
) -> None:
    """Render, corrupt, list."""
    monday, tuesday = root / "monday", root / "tuesday"
    if render:
        sample_images.main(monday, workers=workers)
    elif not names(monday):
        raise UserError(f"{monday} holds no images. Name a folder with one folder a class in MONDAY_DIR.")
    if corrupt and names(tuesday) != names(monday):
        image_corruption.main(monday, tuesday, "mixed", workers=workers)
    image_list.main(root, output)


def names(folder: Path) -> set[str]:
    """The images of a data set as `CLASS/FILE`; none where there is no such folder."""
    classes = class_folders(folder) if folder.is_dir() else []
    return {f"{each.name}/{image.name}" for each in classes for image in images_in(each)}


if __name__ == "__main__":
    run(app)
