"""Rebuilds a registered version from what its run recorded, and says whether the two agree.

It needs the registry and the images, no database. Exits with 1 when anything differs.
"""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.cli import UserError, run
from common.logs import configure_logging
from common.names import MODEL_NAME
from model_registry.settings import Settings
from model_registry.versions.registry_client import connect, mlflow_errors_as_user_errors
from model_registry.versions.reproduction import Reproduction, reproduce

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


def table(result: Reproduction) -> Table:
    """A line a comparison."""
    shown = Table("compared", "agrees", "")
    for check in result.checks:
        shown.add_row(escape(check.what), "yes" if check.agrees else "[bold]NO[/bold]", escape(check.detail))
    return shown


def code(result: Reproduction) -> str:
    """What is to be said of the code."""
    if result.recorded_commit == result.commit:
        changes = ", with changes that no commit holds, then and now" if result.commit.endswith("-dirty") else ""
        return f"code commit: {result.commit}, the same as now{changes}"
    return f"code commit: {result.recorded_commit}, now it is {result.commit}"


@app.command(help=__doc__)
def main(
    version: Annotated[int, typer.Option(min=1, help="Number of the version to rebuild.")],
    model_name: Annotated[str, typer.Option(help="Name it is registered under.")] = MODEL_NAME,
) -> None:
    """Rebuild, compare, print."""
    configure_logging()
    settings = Settings()
    registry = connect(settings.tracking_uri, model_name, settings.wait_timeout_s)
    with mlflow_errors_as_user_errors():
        result = reproduce(registry, registry.by_number(str(version)), settings)
    console = Console()
    console.print(table(result))
    console.print(code(result), soft_wrap=True, highlight=False)
    if not result.agrees:
        differing = ", ".join(dict.fromkeys(check.what for check in result.checks if not check.agrees))
        raise UserError(f"version {version} of {model_name} is not reproduced: {differing} differ from its record")
    console.print(f"version {version} of {model_name} is reproduced", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    run(app)
