"""What the model registry says and holds. mlflow is imported at first use: it takes a second."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api_serving.classifier import Classifier, InvalidModel, load_classifier
from api_serving.model_disk import MODEL_FILE, sha256
from api_serving.schemas import ModelInfo

_NOT_THERE: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND", "INVALID_PARAMETER_VALUE"})
"""MLflow's codes for what no later try will find: it calls an unknown alias an invalid parameter."""


class RegistryUnavailable(Exception):
    """The registry does not answer, or not sensibly."""


class ModelNotRegistered(Exception):
    """The registry answers that there is no such model, alias or run."""


@dataclass(frozen=True)
class Registered:
    """A version in the registry, not downloaded yet."""

    name: str
    version: str
    run_id: str
    metrics: dict[str, float]


class Registry:
    """The MLflow server at `uri`; no answer takes longer than `timeout_s`. Retrying is the caller's."""

    def __init__(self, uri: str, timeout_s: float) -> None:
        self.uri = uri
        self._timeout_s = timeout_s

    def by_alias(self, name: str, alias: str) -> Registered:
        """What `alias` of the model names now."""
        mlflow = self._mlflow()
        what = f"model {name!r} with alias {alias!r}"
        try:
            client = mlflow.MlflowClient(self.uri, self.uri)
            version = client.get_model_version_by_alias(name, alias)
            metrics = dict(client.get_run(version.run_id).data.metrics)
        except mlflow.MlflowException as error:
            raise self._explained(error, what) from error
        return Registered(name, str(version.version), version.run_id, metrics)

    def by_run(self, name: str, run_id: str) -> Registered:
        """The version of the model that the run registered."""
        mlflow = self._mlflow()
        what = f"run {run_id!r}"
        try:
            client = mlflow.MlflowClient(self.uri, self.uri)
            metrics = dict(client.get_run(run_id).data.metrics)
            what = f"model {name!r} of run {run_id!r}"
            versions = client.search_model_versions(f"run_id = '{run_id}'")
        except mlflow.MlflowException as error:
            raise self._explained(error, what) from error
        numbers = [int(version.version) for version in versions if version.name == name]
        if not numbers:
            raise ModelNotRegistered(f"run {run_id!r} registered no version of model {name!r} at {self.uri}")
        return Registered(name, str(max(numbers)), run_id, metrics)

    def download(self, registered: Registered, folder: Path, threads: int) -> tuple[Path, ModelInfo, Classifier]:
        """Fetch the version into `folder`, load and check it. Raises also `InvalidModel`."""
        mlflow = self._mlflow()
        uri = f"models:/{registered.name}/{registered.version}"
        try:
            mlflow.artifacts.download_artifacts(uri, dst_path=str(folder), tracking_uri=self.uri, registry_uri=self.uri)
        except mlflow.MlflowException as error:
            raise self._explained(error, uri) from error
        except OSError as error:  # what requests raises is an OSError too
            raise RegistryUnavailable(f"{uri} cannot be downloaded from {self.uri}: {error}") from error
        file = folder / MODEL_FILE
        if not file.is_file():
            raise InvalidModel(f"{uri} has no {MODEL_FILE}")
        classifier = load_classifier(file, threads)
        info = ModelInfo(
            name=registered.name,
            version=registered.version,
            run_id=registered.run_id,
            classes=classifier.classes,
            metrics=registered.metrics,
            registry=self.uri,
            sha256=sha256(file),
        )
        return file, info, classifier

    def _explained(self, error: Any, what: str) -> Exception:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        if error.error_code in _NOT_THERE:
            return ModelNotRegistered(f"{self.uri} has no {what}: {reason}")
        return RegistryUnavailable(f"{self.uri} does not answer: {reason}")

    def _mlflow(self) -> Any:
        # As Any: parts of mlflow are typed and parts are not.
        mlflow: Any = importlib.import_module("mlflow")
        variables = mlflow.environment_variables
        variables.MLFLOW_HTTP_REQUEST_TIMEOUT.set(max(1, round(self._timeout_s)))
        # Its own 7 retries take minutes; whoever calls here decides whether and when to try again.
        variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(0)
        variables.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
        variables.MLFLOW_DISABLE_TELEMETRY.set(True)
        mlflow.telemetry.set_telemetry_client()
        return mlflow
