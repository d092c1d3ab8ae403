"""Which code trains."""

import subprocess

from common.paths import REPOSITORY
from model_registry.settings import Settings

UNKNOWN = "unknown"
GIT_TIMEOUT_S = 10
"""A checkout on a network drive may be slow; a training must not wait for it for ever."""


def code_commit(settings: Settings) -> str:
    """The commit that the settings name, else that of the checkout, with `-dirty` when files differ from it.

    `unknown` where there is neither, as in an image.
    """
    if settings.code_commit is not None:
        return settings.code_commit
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return answer.stdout.strip()
