"""When a version that could not be taken over is tried again."""

from typing import Final

from api_serving.models.model_metadata import InvalidModel
from api_serving.models.registry import Registered, RegistryUnavailable

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = {InvalidModel: 30.0, RegistryUnavailable: 5.0}
"""A version that is not fit to be served hardly mends itself; a store that was away may be back at any time."""

Failure = InvalidModel | RegistryUnavailable


class Retries:
    """Pauses between attempts at one version, which double; another version is tried at once.

    Times are seconds of any clock that does not go back.
    """

    def __init__(self) -> None:
        self._version: Registered | None = None
        self._kind: type[Failure] = InvalidModel
        self._reason = ""
        self._pause_s = 0.0
        self._due = 0.0

    def require_due(self, version: Registered, now: float) -> None:
        """Raise the failure of the last attempt at this very version while it is too early for another one."""
        if version == self._version and now < self._due:
            # A new object: one that is raised again and again would gather tracebacks without end.
            raise self._kind(self._reason)

    def failed(self, version: Registered, failure: Failure, now: float) -> None:
        """Note why an attempt failed."""
        longer = 2 * self._pause_s if version == self._version else FIRST_PAUSE_S
        self._version, self._kind, self._reason = version, type(failure), str(failure)
        self._pause_s = min(longer, LONGEST_PAUSE_S[self._kind])
        self._due = now + self._pause_s

    def reset(self) -> None:
        """Forget the failure: another version answers as wanted."""
        self._version = None
