"""Makes a version the champion, the one that serves, and remembers who did it and why."""

from typing import Annotated

import typer
from rich.console import Console

from common.cli import run
from common.logs import configure_logging
from common.names import CHAMPION, MODEL_NAME
from model_registry.settings import Settings
from model_registry.versions.promotion import promote, user_and_host
from model_registry.versions.registry_client import connect, mlflow_errors_as_user_errors

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main(
    version: Annotated[int, typer.Option(min=1, help="Number of the version that shall serve.")],
    reason: Annotated[str, typer.Option(help="Why, for the history.")],
    who: Annotated[str | None, typer.Option(help="Who decided it; by default you, as USER@HOST.")] = None,
    model_name: Annotated[str, typer.Option(help="Name it is registered under.")] = MODEL_NAME,
) -> None:
    """Move the alias."""
    configure_logging()
    settings = Settings()
    registry = connect(settings.tracking_uri, model_name, settings.wait_timeout_s)
    with mlflow_errors_as_user_errors():
        promote(registry, str(version), who or user_and_host(), reason)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{model_name} version {version} is the {CHAMPION}. Back again: python rollback.py --reason TEXT")


if __name__ == "__main__":
    run(app)
