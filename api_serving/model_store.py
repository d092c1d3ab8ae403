"""The model that answers, and how it gets there: from the registry, from disk, or not yet."""

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from api_serving.classifier import Classifier, InvalidModel, load_classifier
from api_serving.model_disk import NoModelOnDisk, read_model, write_model
from api_serving.problems import Problem
from api_serving.registry import ModelNotRegistered, Registry, RegistryUnavailable
from api_serving.schemas import ModelInfo
from api_serving.settings import Settings

log = logging.getLogger(__name__)

DOWNLOADED: Final = "downloaded"
"""Folder below the model folder that `download_model.py` fills."""

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 2.0


@dataclass(frozen=True)
class LoadedModel:
    """A checked model. Never changed: a request that took it keeps one version from beginning to end."""

    classifier: Classifier
    info: ModelInfo
    note: str | None = None


class ModelStore:
    """Holds the one reference to the model that answers. `run` fills it and needs no supervision."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registry = Registry(settings.mlflow_tracking_uri, settings.registry_timeout_s)
        wanted = f"{settings.mlflow_tracking_uri} {settings.model_name}@{settings.model_alias}"
        # One folder each, so that one registry's model never stands in for another's.
        self.kept = settings.model_dir / f"registry-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
        self.current: LoadedModel | None = None
        self.missing = "the model is being loaded"

    def require(self) -> LoadedModel:
        """The model, or the 503 that says what is lacking."""
        if self.current is None:
            raise Problem(
                503,
                "no-model",
                f"No model is loaded yet: {self.missing}. Send the request again in a few seconds.",
                {"Retry-After": "2"},
            )
        return self.current

    async def run(self) -> None:
        """Try until the wanted model is there, with pauses of up to 2 s, then end.

        While the registry is away the last downloaded model answers, after `fallback_after_s`; when the registry says
        that there is no such model, none answers: what lies on disk may be of another data set.
        """
        fetch = self._from_disk if self._settings.model_source == "disk" else self._from_registry
        give_up_waiting = time.monotonic() + self._settings.fallback_after_s
        pause = _FIRST_PAUSE_S
        while True:
            try:
                self._serve(await _in_thread(fetch))
                return
            except RegistryUnavailable as error:
                self._lack(str(error))
                if self.current is None and time.monotonic() >= give_up_waiting:
                    await self._fall_back(str(error))
            except (ModelNotRegistered, InvalidModel, NoModelOnDisk) as error:
                self.current = None
                self._lack(str(error))
            except Exception:
                log.exception("loading the model failed unexpectedly")
                self._lack("loading it failed; the log has the cause")
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _serve(self, model: LoadedModel) -> None:
        self.current = model
        log.info("serving %s version %s%s", model.info.name, model.info.version, f" ({model.note})" * bool(model.note))

    def _lack(self, reason: str) -> None:
        if reason != self.missing:
            log.warning("model: %s", reason)
        self.missing = reason

    async def _fall_back(self, reason: str) -> None:
        try:
            model = await _in_thread(partial(self._last_downloaded, f"last downloaded copy, because {reason}"))
        except (NoModelOnDisk, InvalidModel) as error:
            self._lack(f"{reason}; and no earlier copy can stand in: {error}")
        else:
            self._serve(model)

    def _from_registry(self) -> LoadedModel:
        settings = self._settings
        registered = self._registry.by_alias(settings.model_name, settings.model_alias)
        try:
            model = self._last_downloaded(None)
        except (NoModelOnDisk, InvalidModel):
            pass
        else:
            if (model.info.version, model.info.run_id) == (registered.version, registered.run_id):
                return LoadedModel(model.classifier, model.info.model_copy(update={"metrics": registered.metrics}))
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            file, info, classifier = self._registry.download(registered, Path(folder), settings.inference_threads)
            try:
                write_model(self.kept, file, info)
            except OSError as error:
                log.warning("the model cannot be kept for times without the registry: %s", error)
        return LoadedModel(classifier, info)

    def _last_downloaded(self, note: str | None) -> LoadedModel:
        file, info = read_model(self.kept)
        return LoadedModel(load_classifier(file, self._settings.inference_threads), info, note)

    def _from_disk(self) -> LoadedModel:
        try:
            file, info = read_model(self._settings.model_dir / DOWNLOADED)
        except NoModelOnDisk as error:
            raise NoModelOnDisk(f"{error}. Run `python -m api_serving.download_model --alias champion`") from error
        return LoadedModel(load_classifier(file, self._settings.inference_threads), info)


async def _in_thread(load: Callable[[], LoadedModel]) -> LoadedModel:
    # Abandoned at shutdown: a registry that does not answer must not hold it up.
    return await anyio.to_thread.run_sync(load, abandon_on_cancel=True)
