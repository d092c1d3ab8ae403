"""How figures, links and the account look on the terminal."""

from collections.abc import Sequence

from rich.table import Table

from common.names import SOURCE_TOPIC
from common.settings import local_port
from local_stack.demonstration.figures import StreamTotals
from local_stack.inspection.account import Account


def figures_table(figures: StreamTotals) -> Table:
    """What has flowed so far."""
    table = Table(title="Cargo", title_justify="left", show_header=False)
    table.add_row("rows in", str(figures.inserted))
    table.add_row("replicated", str(figures.replicated))
    table.add_row("predicted", str(figures.predicted))
    table.add_row("dead letters", str(figures.dead_letters))
    table.add_row("rows/s, last 10 s", f"{figures.rows_per_second:.1f}")
    if figures.latency_ms:
        p50, p99 = figures.latency_ms
        table.add_row("latency p50 / p99, last 30 s", f"{p50:.0f} / {p99:.0f} ms")
    for (version, dataset), labelled in sorted(figures.labelled.items()):
        if labelled:
            table.add_row(f"version {version} on {dataset}", f"{figures.right[version, dataset] / labelled:.1%} right")
    return table


def links_table() -> Table:
    """Where to look for oneself."""
    table = Table(title="Look for yourself", title_justify="left", show_header=False, box=None)
    # Folded lines could not be copied.
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ignore")
    table.add_row("API", f"http://localhost:{local_port(8000)}/docs")
    table.add_row("MLflow", f"http://localhost:{local_port(5001)}")
    table.add_row("Connect", f"http://localhost:{local_port(8083)}/connectors?expand=status")
    table.add_row("source", f"psql postgresql://myuser:mypassword@localhost:{local_port(5432)}/mydatabase")
    table.add_row("target", f"psql postgresql://targetuser:targetpassword@localhost:{local_port(5433)}/targetdatabase")
    table.add_row("topic", f"kcat -b localhost:{local_port(9092)} -t {SOURCE_TOPIC}")
    return table


def account_lines(account: Account) -> list[str]:
    """The closing account: one green line, or one for each kind of row that is not at its end."""
    if account.complete:
        return [f"[green]every one of {account.committed} committed rows has exactly one prediction or dead letter[/]"]
    lines = [
        f"[{colour}]{len(ids)} of {account.committed} rows {what}[/]: ids {_few(ids)}"
        for colour, what, ids in (
            ("yellow", "still wait for their outcome; none of them is lost", account.waiting),
            ("red", "are LOST: the whole chain has finished and they have no outcome", account.lost),
            ("red", "are DUPLICATED: they have a prediction and a dead letter", account.duplicated),
        )
        if ids
    ]
    if account.waiting:
        lines.append("`make up-local` goes on with those that wait.")
    if not account.sound:
        lines.append("Ask `make doctor`, or see `make logs S=data-subscriber`.")
    return lines


def _few(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids[:10])) + (", …" if len(ids) > 10 else "")
