"""How figures and links look on the terminal."""

from rich.table import Table

from common.names import SOURCE_TOPIC
from common.settings import local_port
from local_stack.figures import Account, Figures


def figures_table(figures: Figures) -> Table:
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
    for (version, dataset), accuracy in figures.accuracy.items():
        table.add_row(f"version {version} on {dataset}", f"{accuracy:.1%} right")
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


def account_lines(account: Account, first_prediction_s: float | None, memory: int) -> list[str]:
    """The closing summary."""
    lines = [f"resident memory of the whole stack: {memory / 2**30:.2f} GiB"]
    if first_prediction_s is not None:
        lines.insert(0, f"first prediction after {first_prediction_s:.1f} s")
    if account.balanced:
        lines.append(
            f"[green]every one of {account.committed} committed rows has exactly one prediction or dead letter[/]"
        )
        return lines
    for what, ids in (("no outcome", account.missing), ("more than one outcome", account.doubled)):
        if ids:
            shown = ", ".join(map(str, ids[:10]))
            lines.append(f"[red]{len(ids)} of {account.committed} rows have {what}: ids {shown} …[/]")
    return [*lines, "Ask `make doctor`, or see `make logs S=data-subscriber`."]
