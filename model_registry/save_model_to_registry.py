"""Trains a classifier on the rows that a strategy chooses, registers it as one ONNX graph, and checks that version.

The first version that passes its check becomes the champion, the one that serves.
"""

import logging
from typing import Annotated

import typer
from mlflow.entities.model_registry import ModelVersion
from rich.console import Console
from rich.markup import escape

from common.cli import run
from common.logs import configure_logging
from common.names import CHAMPION, MODEL_NAME
from common.postgres import connect as connect_database
from model_registry.data.content_hash import content_hash
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.settings import Settings
from model_registry.strategies import STRATEGIES
from model_registry.training.rehearsal import Recipe
from model_registry.training.training import TrainedModel, require_accuracy, train
from model_registry.versions.promotion import promote
from model_registry.versions.registration import register
from model_registry.versions.registry_client import Registry, connect, mlflow_errors_as_user_errors, run_id_of
from model_registry.versions.verification import require_registered

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


def summary(settings: Settings, registry: Registry, version: ModelVersion, trained: TrainedModel, serves: bool) -> str:
    """What to read and what to do next."""
    chosen = f"--model-name {registry.model_name} --run-id {run_id_of(version)}"
    lines = {
        "run id": run_id_of(version),
        "version": f"{version.version} of {registry.model_name}" + (f", now {CHAMPION}" if serves else ""),
        "test accuracy": f"{trained.clean.accuracy:.4f} on {len(trained.clean.targets)} images",
        "checked": "registered as it was measured",
    }
    if trained.drifted is not None:
        lines["on tuesday"] = f"{trained.drifted.accuracy:.4f} on {len(trained.drifted.targets)} images"
    used = trained.parameters
    lines |= {
        "trained on": f"{used['train_images_monday']} images of monday and {used['train_images_tuesday']} of tuesday, "
        f"strategy {trained.recipe.strategy}",
        "figures": settings.tracking_uri,
        "check again": f"cd model_registry && python load_model_from_registry.py {chosen}",
        "fetch to serve": f"cd api_serving && python download_model.py {chosen}",
    }
    return "\n".join(f"[bold]{name:<16}[/bold]{escape(text)}" for name, text in lines.items())


def check_strategy(name: str) -> str:
    """The registered name itself; a usage error for any other."""
    if name not in STRATEGIES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(STRATEGIES)}.")
    return name


@app.command(help=__doc__)
def main(
    model_name: Annotated[str, typer.Option(help="Name to register under.")] = MODEL_NAME,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the split and of the strategy.")] = 0,
    strategy: Annotated[
        str,
        typer.Option(callback=check_strategy, metavar="NAME", help=f"What to train on: {', '.join(STRATEGIES)}."),
    ] = Recipe.strategy,
    budget: Annotated[
        float, typer.Option(min=0, max=1, help="Share of monday's training images that a strategy may take.")
    ] = Recipe.budget,
    group_pattern: Annotated[
        str | None,
        typer.Option(help="Regular expression; images whose file names share what its groups capture stay together."),
    ] = None,
    if_missing: Annotated[bool, typer.Option("--if-missing", help="Do nothing when there is a champion.")] = False,
) -> None:
    """Train, register, check."""
    configure_logging()
    settings = Settings() if group_pattern is None else Settings(group_pattern=group_pattern)
    registry = connect(settings.tracking_uri, model_name, settings.wait_timeout_s)
    console = Console(soft_wrap=True, highlight=False)
    with mlflow_errors_as_user_errors():
        if if_missing and (champion := registry.champion()):
            console.print(f"{model_name} has a champion already: version {champion.version} of run {champion.run_id}")
            return
        database = connect_database(settings.source_database_url, "save-model-to-registry", settings.wait_timeout_s)
        embeddings = EmbeddingSource(settings.embedding_cache, content_hash)
        trained = train(database, settings, Recipe(seed, strategy, budget), embeddings)
        log.info("%s", embeddings.describe_counts())
        version = register(registry, trained)
        require_registered(registry, version, trained, settings.image_root, embeddings)
        require_accuracy(trained.clean.accuracy, settings.minimum_accuracy)
        serves = registry.champion() is None
        if serves:
            promote(registry, str(version.version), "save_model_to_registry", "first version")
    console.print(summary(settings, registry, version, trained, serves))


if __name__ == "__main__":
    run(app)
