"""Shows which version served when, who brought it there, and why."""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.cli import run
from common.logs import configure_logging
from common.names import MODEL_NAME
from model_registry.settings import Settings
from model_registry.versions.promotion import AliasMove, history
from model_registry.versions.registry_client import connect, mlflow_errors_as_user_errors

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


def table(events: Iterable[AliasMove]) -> Table:
    """One line an event, the oldest first; times are UTC."""
    result = Table("when (UTC)", "who", "from → to", "why")
    for event in events:
        when = event.when.strftime("%Y-%m-%d %H:%M:%S")
        move = f"{event.from_version or '–'} → {event.to_version}"
        result.add_row(when, escape(event.who), move, escape(event.why))
    return result


@app.command(help=__doc__)
def main(
    model_name: Annotated[str, typer.Option(help="Name it is registered under.")] = MODEL_NAME,
) -> None:
    """Print the table."""
    configure_logging()
    settings = Settings()
    registry = connect(settings.tracking_uri, model_name, settings.wait_timeout_s)
    with mlflow_errors_as_user_errors():
        events = history(registry)
    console = Console()
    console.print(table(events) if events else f"No version of {model_name} has served yet.")


if __name__ == "__main__":
    run(app)
