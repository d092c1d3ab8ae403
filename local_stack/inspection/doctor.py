"""Goes along the chain from the source table to the predictions and says which link is broken and what to do."""

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from local_stack.inspection.links import BrokenLink
from local_stack.inspection.pipeline_checks import PIPELINE_CHECKS


def first_broken() -> str:
    """The first link that does not hold and what to do, in a sentence."""
    for link in PIPELINE_CHECKS:
        try:
            link()
        except BrokenLink as broken:
            return f"What stands still: {_name(link)}: {broken}. {broken.advice}"
    return "Every link of the chain looks whole: see the logs with `make logs S=name`."


def examine(console: Console) -> bool:
    """Print a row a link; return whether all hold. Works on any stack on the documented ports."""
    table = Table("link", "", "found", "what to do")
    sound = True
    for link in PIPELINE_CHECKS:
        name = _name(link)
        try:
            table.add_row(name, "[green]ok[/]", link(), "")
        except BrokenLink as broken:
            sound = False
            table.add_row(name, "[red]broken[/]", str(broken), broken.advice)
    console.print(table)
    return sound


def _name(link: Callable[[], str]) -> str:
    return link.__name__.replace("_", " ")
