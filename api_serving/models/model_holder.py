"""The model that answers, and how it follows the alias in the registry without a request noticing."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeVar

import anyio
import anyio.to_thread

from api_serving.models.failed_version import FailedVersion, Failure
from api_serving.models.memory import release_free_memory
from api_serving.models.model_cache import NoModelOnDisk
from api_serving.models.model_loader import LoadedModel, ModelLoader
from api_serving.models.model_metadata import InvalidModel
from api_serving.models.registry_client import ModelNotRegistered, RegisteredVersion, RegistryUnavailable
from api_serving.settings import Settings
from common.waiting import RetrySchedule

log = logging.getLogger(__name__)

T = TypeVar("T")

SwapOutcome = Literal["swapped", "refused", "failed"]
"""A new version answers; it is not fit to be served; it could not be fetched."""


class NoModelLoaded(Exception):
    """There is no model to answer with yet; the text says what is lacking."""


class ModelHolder:
    """Holds the one reference to the model that answers. `run` fills it and needs no supervision."""

    def __init__(self, settings: Settings, count_swap: Callable[[SwapOutcome], None]) -> None:
        self._settings = settings
        self._count_swap = count_swap
        self._source = ModelLoader(settings)
        self._failed_version = FailedVersion()
        self._give_up_waiting = 0.0
        self._confirmed = False
        """Whether the registry knows the version that answers. A copy that stands in while the registry is away may be
        of another data set."""
        self._swapped = False
        """Whether the memory of a former model may still be with this process."""
        self.current: LoadedModel | None = None
        self.missing = "the model is being loaded"
        self.note: str | None = None
        """Why what the alias names now does not answer, while an earlier version does."""

    def require(self) -> LoadedModel:
        """The model. Raises `NoModelLoaded`."""
        if self.current is None:
            raise NoModelLoaded(self.missing)
        return self.current

    async def run(self) -> None:
        """Follow the alias without end; from disk: end when the model is loaded.

        Until the registry has named a model that works, try with pauses of up to 2 s. From then on the last good model
        answers whatever happens, and `note` says why another one does not.
        """
        from_disk = self._settings.model_source == "disk"
        self._give_up_waiting = time.monotonic() + self._settings.fallback_after_s
        looks = RetrySchedule(first_s=0.25, longest_s=2.0)
        while not (from_disk and self.current):
            try:
                await (self._load_downloaded() if from_disk else self._follow())
            except Exception as error:
                self._record_failure(f"it failed unexpectedly ({type(error).__name__}); the log has the cause", error)
            await anyio.sleep(self._settings.poll_s if self._confirmed else looks.failed())

    async def _load_downloaded(self) -> None:
        try:
            self._serve(await _in_thread(self._source.downloaded))
        except (NoModelOnDisk, InvalidModel) as error:
            self._record_failure(str(error))

    async def _follow(self) -> None:
        """One look at the alias, and the swap when it names another version than the one that answers."""
        try:
            if self._swapped:
                # A look later, when the requests that still held the former model have their answers.
                self._swapped = False
                await _in_thread(release_free_memory)
            wanted = await _in_thread(self._source.wanted)
            if self.current is None or self.current.registered != wanted:
                self._failed_version.require_due(wanted, time.monotonic())
                await self._take_over(wanted)
        except RegistryUnavailable as error:
            await self._without_registry(str(error))
        except (ModelNotRegistered, InvalidModel) as error:
            await self._without_model(str(error))
        else:
            if self.note is not None:
                log.info("%s answers again as the registry wants", wanted)
            self._failed_version.reset()
            self._confirmed, self.note = True, None

    async def _take_over(self, wanted: RegisteredVersion) -> None:
        """Load beside the model that answers, then put the one reference to the new model in its place."""
        served = self.current.info if self.current and self._confirmed else None
        failure: Failure
        try:
            model = await _in_thread(partial(self._source.fetch, wanted, served))
        except (InvalidModel, ModelNotRegistered) as error:
            self._count_swap("refused")
            failure = InvalidModel(f"{wanted} cannot be served: {error}")
        except Exception as error:
            if not isinstance(error, RegistryUnavailable):
                log.exception("%s failed unexpectedly", wanted)
            self._count_swap("failed")
            failure = RegistryUnavailable(f"{wanted} cannot be fetched: {error}")
        else:
            if self.current is not None:
                self._count_swap("swapped")
                self._swapped = True
            self._serve(model)
            return
        self._failed_version.failed(wanted, failure, time.monotonic())
        raise failure

    async def _without_registry(self, reason: str) -> None:
        if self.current is not None or time.monotonic() < self._give_up_waiting:
            self._record_failure(reason)
            return
        try:
            model = await _in_thread(self._source.last)
        except (NoModelOnDisk, InvalidModel) as error:
            self._record_failure(f"{reason}; and no earlier copy can stand in: {error}")
        else:
            self._serve(model, f"last downloaded copy, because {reason}")

    async def _without_model(self, reason: str) -> None:
        """The registry answers, but names nothing that can be served."""
        if not self._confirmed:
            try:
                self._serve(await _in_thread(self._source.last_known))
                self._confirmed = True
            except (NoModelOnDisk, InvalidModel, RegistryUnavailable):
                self.current = self.note = None
        self._record_failure(reason)

    def _serve(self, model: LoadedModel, note: str | None = None) -> None:
        self.current, self.note = model, note
        log.info("serving %s version %s%s", model.info.name, model.info.version, f" ({note})" * bool(note))

    def _record_failure(self, reason: str, cause: Exception | None = None) -> None:
        """Note, beside the model that answers, why it is not the wanted one; without a model: what is missing."""
        if reason not in (self.note, self.missing):
            log.warning("model: %s", reason, exc_info=cause)
        if self.current is None:
            self.missing = reason
        else:
            self.note = reason


async def _in_thread(load: Callable[[], T]) -> T:
    # Abandoned at shutdown: a registry that does not answer must not hold it up.
    return await anyio.to_thread.run_sync(load, abandon_on_cancel=True)
