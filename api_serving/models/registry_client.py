"""What the model registry says and holds. mlflow is imported at first use: it takes a second."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api_serving.models.classifier import Classifier, load_classifier
from api_serving.models.model_cache import MODEL_FILE, sha256
from api_serving.models.model_metadata import InvalidModel, ModelInfo

_NOT_THERE: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
"""MLflow's own codes for what does not exist; it calls an unknown alias an invalid parameter. A bare 404 is not among
them: that is how a proxy answers in its place."""


class RegistryUnavailable(Exception):
    """The registry does not answer, or not sensibly."""


class ModelNotRegistered(Exception):
    """The registry answers that there is no such model, alias or run."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in the registry, not downloaded yet."""

    name: str
    version: str
    run_id: str

    def __str__(self) -> str:
        return f"version {self.version} of {self.name}"


class Registry:
    """The MLflow server at `uri`; no answer takes longer than `timeout_s`. Retrying is the caller's."""

    def __init__(self, uri: str, timeout_s: float) -> None:
        self.uri = uri
        self._timeout_s = timeout_s

    def by_alias(self, name: str, alias: str) -> RegisteredVersion:
        """What `alias` of the model names now. One small request: it is asked every second."""
        mlflow = self._mlflow()
        try:
            version = mlflow.MlflowClient(self.uri, self.uri).get_model_version_by_alias(name, alias)
        except mlflow.MlflowException as error:
            raise self._explained(error, f"model {name!r} with alias {alias!r}") from error
        return _registered(version)

    def by_run(self, name: str, run_id: str) -> RegisteredVersion:
        """The version of the model that the run registered."""
        mlflow = self._mlflow()
        what = f"run {run_id!r}"
        try:
            client = mlflow.MlflowClient(self.uri, self.uri)
            client.get_run(run_id)
            what = f"model {name!r} of run {run_id!r}"
            versions = client.search_model_versions(f"run_id = '{run_id}'")
        except mlflow.MlflowException as error:
            raise self._explained(error, what) from error
        numbers = [int(version.version) for version in versions if version.name == name]
        if not numbers:
            raise ModelNotRegistered(f"run {run_id!r} registered no version of model {name!r} at {self.uri}")
        return RegisteredVersion(name, str(max(numbers)), run_id)

    def knows(self, registered: RegisteredVersion) -> bool:
        """Whether the registry still has this very version: a number may be given again, a run's id may not."""
        mlflow = self._mlflow()
        try:
            version = mlflow.MlflowClient(self.uri, self.uri).get_model_version(registered.name, registered.version)
        except mlflow.MlflowException as error:
            explained = self._explained(error, str(registered))
            if isinstance(explained, ModelNotRegistered):
                return False
            raise explained from error
        return _registered(version) == registered

    def metrics(self, registered: RegisteredVersion) -> dict[str, float]:
        """The figures that the version's run logged; a version that was registered without a run has none."""
        if not registered.run_id:
            return {}
        mlflow = self._mlflow()
        try:
            run = mlflow.MlflowClient(self.uri, self.uri).get_run(registered.run_id)
        except mlflow.MlflowException as error:
            raise self._explained(error, f"run {registered.run_id!r}") from error
        return dict(run.data.metrics)

    def download(self, registered: RegisteredVersion, folder: Path, threads: int) -> tuple[Path, ModelInfo, Classifier]:
        """Fetch the version into `folder`, load and check it. Raises also `InvalidModel`."""
        self._fetch(registered, folder)
        file = folder / MODEL_FILE
        if not file.is_file():
            raise InvalidModel(f"{registered} has no {MODEL_FILE}")
        classifier = load_classifier(file, threads)
        info = ModelInfo(
            name=registered.name,
            version=registered.version,
            run_id=registered.run_id,
            classes=classifier.classes,
            metrics=self.metrics(registered),
            registry=self.uri,
            sha256=sha256(file),
        )
        return file, info, classifier

    def _fetch(self, registered: RegisteredVersion, folder: Path) -> None:
        if not self.knows(registered):
            raise ModelNotRegistered(f"{self.uri} has no {registered}")
        mlflow = self._mlflow()
        uri = f"models:/{registered.name}/{registered.version}"
        try:
            mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))
        except (mlflow.MlflowException, OSError) as error:  # what requests raises is an OSError too
            # MLflow calls a store that is away an invalid path; the version itself is there, as it has just said.
            raise RegistryUnavailable(f"its files do not come from {self.uri}: {_first_line(error)}") from error

    def _explained(self, error: Any, what: str) -> Exception:
        if isinstance(error.__cause__ or error.__context__, OSError):  # all that requests raises
            return RegistryUnavailable(f"{self.uri} cannot be reached")
        reason = _first_line(error)
        if error.error_code in _NOT_THERE:
            return ModelNotRegistered(f"{self.uri} has no {what}: {reason}")
        return RegistryUnavailable(f"{self.uri} does not work: {reason}")

    def _mlflow(self) -> Any:
        """Mlflow, told where to go and how long to wait, for the whole process.

        `download_artifacts` ignores the addresses that it is given and would make a database in the working folder.
        """
        # As Any: parts of mlflow are typed and parts are not.
        mlflow: Any = importlib.import_module("mlflow")
        variables = mlflow.environment_variables
        variables.MLFLOW_HTTP_REQUEST_TIMEOUT.set(max(1, round(self._timeout_s)))
        # Its own 7 retries take minutes; whoever calls here decides whether and when to try again.
        variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(0)
        variables.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
        variables.MLFLOW_DISABLE_TELEMETRY.set(True)
        mlflow.telemetry.set_telemetry_client()
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        return mlflow


def _registered(version: Any) -> RegisteredVersion:
    return RegisteredVersion(version.name, str(version.version), version.run_id or "")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
