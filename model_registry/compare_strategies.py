"""Compares every rehearsal strategy at equal budgets over many splits of the images in monday/ and tuesday/.

Writes a page with table and verdict, a chart and the raw numbers, and logs all of it as one MLflow run.
"""

import os
import shlex
from pathlib import Path
from typing import Annotated

import mlflow
import typer
from rich.console import Console
from rich.progress import track

from common.cli import run
from common.logs import configure_logging
from common.names import EXPERIMENT, MODEL_NAME
from common.paths import REPOSITORY
from model_registry.comparison.experiment import measure
from model_registry.comparison.page import chart, markdown
from model_registry.comparison.paired_images import paired_images
from model_registry.comparison.report import Comparison, raw_numbers, terminal_table
from model_registry.settings import Settings
from model_registry.versions.registry_client import connect, mlflow_errors_as_user_errors

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


def write(comparison: Comparison, page: Path, command: str) -> list[Path]:
    """The page, and beside it the chart and the raw numbers."""
    picture, raw = page.with_suffix(".png"), page.with_suffix(".csv")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(markdown(comparison, picture.name, raw.name, command))
    chart(comparison).savefig(picture, dpi=110)
    raw.write_text(raw_numbers(comparison))
    return [page, picture, raw]


def log(comparison: Comparison, files: list[Path], parameters: dict[str, object]) -> str:
    """One run with the figures of every contender and the files. Returns its id."""
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(run_name="compare_strategies") as active:
        mlflow.log_params(parameters)
        for each in comparison.figures:
            name = each.config.name.replace(" ", "_").removesuffix("%")
            for figure in ("monday", "tuesday", "mean", "forgetting"):
                mlflow.log_metric(f"{name}_{figure}", getattr(each, figure).mean)
        mlflow.log_dict({"verdict": comparison.verdict()}, "verdict.json")
        for file in files:
            mlflow.log_artifact(str(file))
    return str(active.info.run_id)


@app.command(help=__doc__)
def main(
    splits: Annotated[int, typer.Option(min=2, help="Random splits, seeds 0, 1, 2 …")] = 20,
    budget: Annotated[
        list[float] | None, typer.Option(min=0, max=1, help="Share of monday's images; several times for several.")
    ] = None,
    image_root: Annotated[Path | None, typer.Option(help="Folder that holds monday/ and tuesday/.")] = None,
    group_pattern: Annotated[
        str | None,
        typer.Option(help="Regular expression; images whose file names share what its groups capture stay together."),
    ] = None,
    title: Annotated[str, typer.Option(help="What the images are, for the page and the chart.")] = "sample images",
    output: Annotated[Path, typer.Option(help="The page; chart and raw numbers get its name.")] = REPOSITORY
    / "docs/strategies.md",
    workers: Annotated[int, typer.Option(min=1, help="Splits at the same time.")] = os.cpu_count() or 1,
    log_run: Annotated[bool, typer.Option("--log/--no-log", help="Log a run to MLflow, whose server must run.")] = True,
) -> None:
    """Measure, write, log."""
    configure_logging()
    given = {"image_root": image_root, "group_pattern": group_pattern}
    settings = Settings.model_validate({name: value for name, value in given.items() if value is not None})
    budgets = sorted(set(budget or [0.1, 0.2]))
    if log_run:  # Before the work, so that a server that is away is noticed at once.
        connect(settings.tracking_uri, MODEL_NAME, settings.wait_timeout_s)
    data = paired_images(settings)
    rounds = measure(data, budgets, splits, settings.group_pattern, workers)
    progress = track(rounds, "Comparing strategies", total=splits, console=Console(stderr=True))
    comparison = Comparison.of(title, data, [measurement for each in progress for measurement in each])
    chosen = ["--splits", str(splits), "--title", title, *(f"--budget={share:g}" for share in budgets)]
    if settings.group_pattern:
        chosen += ["--group-pattern", settings.group_pattern]
    files = write(comparison, output, shlex.join(["python", "-m", "model_registry.compare_strategies", *chosen]))
    console = Console(soft_wrap=True, highlight=False)
    console.print(terminal_table(comparison), *comparison.verdict(), sep="\n")
    console.print(f"written: {', '.join(map(str, files))}")
    if log_run:
        parameters = {"splits": splits, "budgets": budgets, "images": len(data.images), "title": title}
        with mlflow_errors_as_user_errors():
            console.print(f"logged: run {log(comparison, files, parameters)} on {settings.tracking_uri}")


if __name__ == "__main__":
    run(app)
