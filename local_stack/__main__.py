"""The local stack: every service as a plain process on this machine, for use without Docker."""

import shutil
import subprocess
from typing import Annotated

import typer
from rich.console import Console

from common.cli import UserError, run
from local_stack import stack
from local_stack.demonstration.demo import Demo
from local_stack.inspection import machine
from local_stack.inspection.doctor import examine
from local_stack.inspection.repair import repair_all, take_stock
from local_stack.inspection.status import service_states, states_table
from local_stack.processes import postgres
from local_stack.processes.data_sets import prepare_data_sets
from local_stack.processes.supervision import Supervisor
from local_stack.settings import Settings

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console()


@app.command()
def up() -> None:
    """Start everything and return when predictions can flow."""
    supervisor = stack.start(Settings(), {})
    stack.wait_until_ready(supervisor, console)
    console.print(states_table(service_states(supervisor, with_memory=True)))


@app.command()
def down() -> None:
    """Stop everything; rows, topics and models are kept."""
    stack.running(Settings()).shutdown()
    console.print("The stack is down; its state is kept. `make clean-local` removes it.")


@app.command()
def clean() -> None:
    """Stop everything and remove all state. The images stay."""
    settings = Settings()
    supervisor = Supervisor(settings.state_dir)
    if supervisor.running():
        supervisor.shutdown()
    postgres.remove_shared_home(settings.state_dir)
    shutil.rmtree(settings.state_dir, ignore_errors=True)


@app.command()
def status() -> None:
    """Show what each service is doing; exit with 1 if one is not as it should be."""
    states = service_states(stack.running(Settings()), with_memory=True)
    console.print(states_table(states))
    raise typer.Exit(int(not all(state.good for state in states)))


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="Its name, as `make status` shows it.")],
    follow: Annotated[bool, typer.Option(help="Go on with what is written from now on.")] = True,
) -> None:
    """Show a service's log."""
    file = Supervisor(Settings().state_dir).log_file(stack.known_service(service))
    if not file.exists():
        raise UserError(f"{service} has written no log yet. Start the stack with `make up-local`.")
    subprocess.run(["tail", "-n", "100", *(["-F"] if follow else []), str(file)], check=False)  # noqa: S607


@app.command()
def images() -> None:
    """Make the sample images, their corrupted copies and the manifests where they are missing."""
    prepare_data_sets(Settings())


@app.command()
def doctor() -> None:
    """Say what this machine can process, then go along the chain and say which link is broken and what to do."""
    console.print(f"machine: {machine.read_machine(Settings().state_dir)}", soft_wrap=True)
    try:
        console.print(machine.verdict(machine.measure()), soft_wrap=True)
    except machine.NotMeasured as error:
        console.print(f"images a second: not measured, {error}", soft_wrap=True)
    raise typer.Exit(int(not examine(console)))


@app.command()
def account() -> None:
    """Compare every committed row with its outcome and its replica; exit with 1 if something is missing or wrong."""
    raise typer.Exit(int(not take_stock(console).good))


@app.command()
def repair() -> None:
    """Send through again what has no outcome, and what the replica lacks or has otherwise; then take account."""
    repair_all(console)
    raise typer.Exit(int(not take_stock(console).good))


@app.command()
def demo(
    duration: Annotated[
        float | None,
        typer.Option(min=10, help="Seconds to stream; without it, until the story is told or, without story, Ctrl-C."),
    ] = None,
    story: Annotated[bool, typer.Option(help="Let the data drift, and show how the model repairs itself.")] = True,
) -> None:
    """Start everything, stream rows, tell what happens, and at the end prove that none was lost."""
    raise typer.Exit(int(not Demo(Settings(), console, story).run(duration)))


if __name__ == "__main__":
    run(app)
