"""Loads a registered model back and reproduces the test accuracy that its run logged, from the image files.

Exits with 1 when the figures differ by more than images of which two classes are nearly equal, or when the held-out
images are no longer what they were.
"""

from typing import Annotated

import typer
from rich.console import Console

from common.cli import run
from common.logs import configure_logging
from common.names import CHAMPION, MODEL_NAME
from model_registry.settings import Settings
from model_registry.versions.registry_client import connect, mlflow_errors_as_user_errors
from model_registry.versions.verification import verify

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main(
    model_name: Annotated[str, typer.Option(help="Name it is registered under.")] = MODEL_NAME,
    run_id: Annotated[str | None, typer.Option(help="The version that this run registered.")] = None,
    alias: Annotated[str | None, typer.Option(help=f"The version with this alias, such as {CHAMPION}.")] = None,
) -> None:
    """Give one of --run-id and --alias."""
    if (run_id is None) == (alias is None):
        raise typer.BadParameter("give one of --run-id and --alias")
    configure_logging()
    settings = Settings()
    registry = connect(settings.tracking_uri, model_name, settings.wait_timeout_s)
    with mlflow_errors_as_user_errors():
        version = registry.by_run(run_id) if run_id is not None else registry.by_alias(alias or "")
        results = verify(registry, version, settings.image_root)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{model_name} version {version.version}, run {version.run_id}")
    for result in results:
        console.print(f"test accuracy logged   {result.logged!r}")
        held_out = f"{result.images} held-out images of {result.dataset}"
        agrees = "the same"
        if result.measured != result.logged:
            agrees = f"the same but for images of which two classes are nearly equal; there are {result.close}"
        console.print(f"test accuracy measured {result.measured!r} on {held_out}: {agrees}")


if __name__ == "__main__":
    run(app)
