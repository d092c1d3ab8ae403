"""When a version that could not be taken over is tried again."""

from typing import Final

from api_serving.models.model_metadata import InvalidModel
from api_serving.models.registry_client import RegisteredVersion, RegistryUnavailable
from common.waiting import RetrySchedule

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = {InvalidModel: 30.0, RegistryUnavailable: 5.0}
"""A version that is not fit to be served hardly mends itself; a store that was away may be back at any time."""

Failure = InvalidModel | RegistryUnavailable


class FailedVersion:
    """The version that could not be taken over, and when it is tried again; another version is tried at once.

    Times are seconds of any clock that does not go back.
    """

    def __init__(self) -> None:
        self._schedule = RetrySchedule(FIRST_PAUSE_S, max(LONGEST_PAUSE_S.values()))
        self._version: RegisteredVersion | None = None
        self._kind: type[Failure] = InvalidModel
        self._reason = ""
        self._due = 0.0

    def require_due(self, version: RegisteredVersion, now: float) -> None:
        """Raise the failure of the last attempt at this very version while it is too early for another one."""
        if version == self._version and now < self._due:
            # A new object: one that is raised again and again would gather tracebacks without end.
            raise self._kind(self._reason)

    def failed(self, version: RegisteredVersion, failure: Failure, now: float) -> None:
        """Note why an attempt failed."""
        if version != self._version:
            self._schedule.reset()
        self._version, self._kind, self._reason = version, type(failure), str(failure)
        self._due = now + min(self._schedule.failed(), LONGEST_PAUSE_S[self._kind])

    def reset(self) -> None:
        """Forget the failure: another version answers as wanted."""
        self._version = None
