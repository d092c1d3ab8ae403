"""The client side of the MLflow server: connecting within bounds, and finding versions by run or alias."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import onnx
import requests
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.environment_variables import (
    MLFLOW_DISABLE_TELEMETRY,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT,
)
from mlflow.exceptions import MlflowException
from mlflow.telemetry import set_telemetry_client

from common.cli import UserError
from common.names import CHAMPION
from common.waiting import retry_for
from model_registry.data.dataset import ManifestRow, parse_manifest

MANIFEST_ARTIFACT = "data_manifest.jsonl"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""How MLflow answers for a name that nothing has, and for one that nothing can have."""

CLIENT_ENVIRONMENT = (
    (MLFLOW_DISABLE_TELEMETRY, True),
    # MLflow's own retries go on for many minutes without a word; the bounded wait says what it waits for.
    (MLFLOW_HTTP_REQUEST_MAX_RETRIES, 2),
    (MLFLOW_HTTP_REQUEST_TIMEOUT, 30),
    (MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT, True),
)


@dataclass(frozen=True)
class Registry:
    """A server that has answered, and one registered model's name there."""

    client: MlflowClient
    model_name: str

    def champion(self) -> ModelVersion | None:
        """The version that serves, if any."""
        return self.with_alias(CHAMPION)

    def with_alias(self, alias: str) -> ModelVersion | None:
        """The version with this alias, if any."""
        try:
            return self.client.get_model_version_by_alias(self.model_name, alias)
        except MlflowException as error:
            if error.error_code in ABSENT:
                return None
            raise

    def by_alias(self, alias: str) -> ModelVersion:
        """The version with this alias; `UserError` when there is none."""
        version = self.with_alias(alias)
        if version is None:
            raise UserError(f"model {self.model_name} has no version with the alias {alias!r}.{self._hint()}")
        return version

    def by_number(self, number: str) -> ModelVersion:
        """The version of this number; `UserError` when there is none."""
        try:
            return self.client.get_model_version(self.model_name, number)
        except MlflowException as error:
            if error.error_code not in ABSENT:
                raise
            raise UserError(f"model {self.model_name} has no version {number}.{self._hint()}") from None

    def by_run(self, run_id: str) -> ModelVersion:
        """The version that a run registered; `UserError` when the run or its version does not exist."""
        try:
            self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ABSENT:
                raise
            raise UserError(f"there is no run {run_id!r}.{self._hint()}") from None
        versions = [version for version in self.versions() if version.run_id == run_id]
        if not versions:
            raise UserError(f"run {run_id} registered no version of {self.model_name}.{self._hint()}")
        return versions[0]

    def load(self, version: ModelVersion) -> onnx.ModelProto:
        """Download a version's graph from the registry."""
        model: onnx.ModelProto = mlflow.onnx.load_model(f"models:/{self.model_name}/{version.version}")
        return model

    def manifest(self, version: ModelVersion, folder: Path) -> list[ManifestRow]:
        """The images that the version's run saw, downloaded by way of `folder`."""
        file = self.client.download_artifacts(run_id_of(version), MANIFEST_ARTIFACT, str(folder))
        return parse_manifest(Path(file).read_text())

    def versions(self) -> list[ModelVersion]:
        """Every version that is registered, in no certain order."""
        quoted = self.model_name.replace("'", "''")
        return list(self.client.search_model_versions(f"name='{quoted}'"))

    def _hint(self) -> str:
        versions = sorted(self.versions(), key=lambda version: int(version.version))[-3:]
        if not versions:
            return f" Nothing is registered as {self.model_name} yet: run save_model_to_registry.py first."
        return f" Newest: {'; '.join(f'version {version.version} of run {version.run_id}' for version in versions)}."


def run_id_of(version: ModelVersion) -> str:
    """The run that registered `version`; `UserError` for a version that somebody registered by hand."""
    if not version.run_id:
        raise UserError(f"version {version.version} of {version.name} belongs to no run, so it logged no figures")
    return version.run_id


@contextmanager
def mlflow_errors_as_user_errors() -> Iterator[None]:
    """What MLflow raises inside, because it is unavailable or refuses something, leaves as a `UserError`."""
    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"MLflow request failed: {reason}. See its server's log: database or object store may be unavailable."
        ) from error


def connect(tracking_uri: str, model_name: str, timeout_s: float) -> Registry:
    """Wait up to `timeout_s` for the server at `tracking_uri`. `UserError` when it stays away or refuses us."""
    if not model_name or set(model_name) & set("/:"):
        raise UserError(f"{model_name!r} is no model name: it must not be empty or contain / or :")
    for variable, value in CLIENT_ENVIRONMENT:
        variable.set(value)  # type: ignore[no-untyped-call]
    # MLflow prepared it at import; with the switch off this takes it away again.
    set_telemetry_client()  # type: ignore[no-untyped-call]
    try:
        for attempt in retry_for(timeout_s, f"MLflow {tracking_uri}", requests.RequestException):
            with attempt:
                requests.get(f"{tracking_uri}/health", timeout=5).raise_for_status()
    except requests.RequestException as error:
        raise UserError(
            f"MLflow {tracking_uri} cannot be reached ({type(error).__name__}). "
            "Start it with python -m model_registry.serve_registry, or set MODEL_REGISTRY_TRACKING_URI."
        ) from error
    mlflow.set_tracking_uri(tracking_uri)
    # Else MLflow would take the models' address from the environment, where another may stand.
    mlflow.set_registry_uri(tracking_uri)
    client = MlflowClient()
    try:
        client.search_experiments(max_results=1)  # /health answers everyone; this shows whether we are let in.
    except MlflowException as error:
        raise UserError(
            f"MLflow {tracking_uri} refuses this client: {error.message.splitlines()[0]}. "
            "If it names the Host header, add the host to MODEL_REGISTRY_ALLOWED_HOSTS of the server."
        ) from error
    return Registry(client, model_name)
