"""Ask the running generator for something, and print what came of it."""

from contextlib import closing
from typing import Annotated

import psycopg2
import typer

from common.cli import UserError, run
from common.logs import configure_logging
from common.postgres import Connection, connect, describe
from common.waiting import wait_until
from data_generate.control.commands import Command, Kind, State, ask, read_result
from data_generate.settings import Settings

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 15.0
"""A generator looks twice a second, but one that is inserting a large batch or waits for its database takes longer."""

HELP = """Ask the running generator for something, and print what came of it.

\b
rate 36                      rows a second
mix monday=0.2,tuesday=0.8   data sets to pick from; ends a schedule
pause, resume                insert nothing for a while
labels on | off | late 90    with the rows, never, or 90 s after them
reset                        back to the settings, as if nothing was asked

What was asked for holds until something else is, over restarts of the generator.
"""

app = typer.Typer(help=HELP, pretty_exceptions_enable=False)


@app.command(help=HELP)
def main(
    command: Annotated[Kind, typer.Argument(help="What to ask for.", show_default=False)],
    argument: Annotated[
        list[str] | None, typer.Argument(help="What belongs to it, as above.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the command.")] = "",
) -> None:
    """Ends with 1 when the generator refuses, or when none takes the command up."""
    configure_logging()
    url = Settings().source_database_url
    with closing(connect(url, "steer_generator", CONNECT_TIMEOUT_S)) as connection:
        try:
            number = ask(connection, command, " ".join(argument or ()), reason)
            typer.echo(f"command {number} asked for; waiting for a generator to take it up …", err=True)
            answer = _answer(connection, number)
        except psycopg2.Error as error:
            raise UserError(
                f"database {describe(url)} does not take commands: {' '.join(str(error).split())}. Start the generator"
                " once, which makes the table, and ask as the database's owner (DATA_GENERATE_SOURCE_DATABASE_URL)."
            ) from error
    if answer.state is State.refused:
        raise UserError(f"refused: {answer.result}")
    typer.echo(f"from now on: {answer.result}")


def _answer(connection: Connection, number: int) -> Command:
    try:
        return wait_until(lambda: read_result(connection, number), "taken up", ANSWER_TIMEOUT_S)
    except UserError as error:
        raise UserError(
            f"no generator has taken command {number} up in {ANSWER_TIMEOUT_S:g} s. Start one (it takes it up then), or"
            " see what it waits for: curl localhost:9101/readyz. To withdraw it, delete its row of generator_command."
        ) from error


if __name__ == "__main__":
    run(app)
