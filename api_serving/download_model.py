"""Fetch a model from the registry, for an API that serves from disk."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from api_serving.models.model_cache import FACTS_FILE, MODEL_FILE, write_model
from api_serving.models.model_loader import DOWNLOADED
from api_serving.models.model_metadata import InvalidModel
from api_serving.models.registry_client import ModelNotRegistered, Registry, RegistryUnavailable
from api_serving.settings import Settings
from common.cli import UserError, run
from common.names import MODEL_NAME

app = typer.Typer(add_completion=False)


@app.command()
def main(
    model_name: Annotated[str, typer.Option(help="Registered model.")] = MODEL_NAME,
    run_id: Annotated[str | None, typer.Option(help="Run that registered the version to fetch.")] = None,
    alias: Annotated[str | None, typer.Option(help="Alias of the version to fetch, such as champion.")] = None,
) -> None:
    """Download a model, check that it can be served, and keep it where the API reads it.

    Name the version by --run-id or by --alias.
    """
    if (run_id is None) == (alias is None):
        raise typer.BadParameter("give either --run-id or --alias")
    settings = Settings()
    registry = Registry(settings.mlflow_tracking_uri, settings.registry_timeout_s)
    folder = settings.model_dir / DOWNLOADED
    try:
        with Console(stderr=True).status("downloading"), tempfile.TemporaryDirectory(prefix="model-") as temporary:
            found = registry.by_run(model_name, run_id) if run_id else registry.by_alias(model_name, alias or "")
            file, info, _ = registry.download(found, Path(temporary), settings.inference_threads)
            write_model(folder, file, info)
    except RegistryUnavailable as error:
        raise UserError(f"{error}. Start MLflow, or set API_SERVING_MLFLOW_TRACKING_URI to where it runs.") from error
    except ModelNotRegistered as error:
        raise UserError(
            f"{error}. Look in the registry for what there is, or train with save_model_to_registry.py."
        ) from error
    except InvalidModel as error:
        raise UserError(f"the model cannot be served: {error}. Train and register it again.") from error
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error}). Set API_SERVING_MODEL_DIR to a writable folder."
        ) from error
    typer.echo(f"{info.name} version {info.version} of run {info.run_id}, classes {', '.join(info.classes)}")
    typer.echo(f"written: {folder / MODEL_FILE} and {FACTS_FILE}")
    typer.echo("next:    API_SERVING_MODEL_SOURCE=disk uvicorn api_serving.app:app --port 8000")


if __name__ == "__main__":
    run(app)
