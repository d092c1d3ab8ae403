"""Where a model comes from: the registry, the copies kept from it, or the folder that `download_model.py` fills.

All of it blocks: call it in a thread.
"""

import hashlib
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api_serving.models.classifier import Classifier, load_classifier
from api_serving.models.model_cache import ModelCache, NoModelOnDisk, read_model
from api_serving.models.model_metadata import InvalidModel, ModelInfo
from api_serving.models.registry_client import RegisteredVersion, Registry
from api_serving.settings import Settings

log = logging.getLogger(__name__)

DOWNLOADED: Final = "downloaded"
"""Folder below the model folder that `download_model.py` fills."""


@dataclass(frozen=True)
class LoadedModel:
    """A checked model. Never changed: a request that took it keeps one version from beginning to end."""

    classifier: Classifier
    info: ModelInfo

    @property
    def registered(self) -> RegisteredVersion:
        """What the registry calls it."""
        return _registered(self.info)


class ModelLoader:
    """Gives models that are loaded, checked and warm."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registry = Registry(settings.mlflow_tracking_uri, settings.registry_timeout_s)
        wanted = f"{settings.mlflow_tracking_uri} {settings.model_name}@{settings.model_alias}"
        # One folder each, so that one registry's model never stands in for another's.
        digest = hashlib.sha256(wanted.encode()).hexdigest()[:12]
        self.kept = ModelCache(settings.model_dir / f"registry-{digest}")

    def wanted(self) -> RegisteredVersion:
        """What the alias names now."""
        return self._registry.by_alias(self._settings.model_name, self._settings.model_alias)

    def fetch(self, wanted: RegisteredVersion, served: ModelInfo | None) -> LoadedModel:
        """The version `wanted`, from disk or else from the registry, and kept on disk from then on.

        Raises what `Registry.download` raises, and `InvalidModel` too when its targets mean another thing than those
        of the model `served`.
        """
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            file, model = self._from_disk(wanted) or self._download(wanted, Path(folder))
            if served is not None:
                require_compatible_classes(model.info, served)
            self._warm(model)
            try:
                self.kept.keep(file, model.info)
            except OSError as error:
                log.warning("the model cannot be kept for times without the registry: %s", error)
        return model

    def last(self) -> LoadedModel:
        """The copy of the version served last. Raises `NoModelOnDisk` and `InvalidModel`."""
        return self._warm(self._load(*read_model(self.kept.last)))

    def last_known(self) -> LoadedModel:
        """The same if the registry still has that version: else the copy may be of another data set.

        Raises `NoModelOnDisk`, `InvalidModel` and `RegistryUnavailable`.
        """
        _, info = read_model(self.kept.last)
        if not self._registry.knows(_registered(info)):
            raise NoModelOnDisk(f"the copy of version {info.version} is not of this registry")
        return self.last()

    def downloaded(self) -> LoadedModel:
        """What `download_model.py` fetched. Raises `NoModelOnDisk` and `InvalidModel`."""
        try:
            file, info = read_model(self._settings.model_dir / DOWNLOADED)
        except NoModelOnDisk as error:
            raise NoModelOnDisk(f"{error}. Run `python -m api_serving.download_model --alias champion`") from error
        return self._warm(self._load(file, info))

    def _from_disk(self, wanted: RegisteredVersion) -> tuple[Path, LoadedModel] | None:
        found = self.kept.find(wanted.version, wanted.run_id)
        if found is None:
            return None
        try:
            return found[0], self._load(*found)
        except InvalidModel:  # an older API accepted it, or it was changed together with its facts
            return None

    def _download(self, wanted: RegisteredVersion, folder: Path) -> tuple[Path, LoadedModel]:
        file, info, classifier = self._registry.download(wanted, folder, self._settings.inference_threads)
        return file, LoadedModel(classifier, info)

    def _load(self, file: Path, info: ModelInfo) -> LoadedModel:
        return LoadedModel(load_classifier(file, self._settings.inference_threads), info)

    def _warm(self, model: LoadedModel) -> LoadedModel:
        model.classifier.warm_up(1, self._settings.chunk_size)
        return model


def require_compatible_classes(info: ModelInfo, served: ModelInfo) -> None:
    """`InvalidModel` unless a target that `served` gave means the same class in `info`.

    A newer version may have more classes at the end. An older one, to which somebody goes back, may lack them.
    """
    known, new = served.classes, info.classes
    if new[: len(known)] == known:
        return
    goes_back = int(info.version) < int(served.version)
    if goes_back and known[: len(new)] == new:
        return
    raise InvalidModel(
        f"its classes {', '.join(new)} do not begin with the served ones {', '.join(known)}, so the same target would "
        "mean another class. Restart the API to take it over on purpose"
    )


def _registered(info: ModelInfo) -> RegisteredVersion:
    return RegisteredVersion(info.name, info.version, info.run_id)
