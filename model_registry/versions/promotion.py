"""Which version serves: the alias `champion` moves here and nowhere else, and every move is remembered.

A move is four writes to the registry, and any of them may be the last one that happens. So the first one notes what is
about to be done, in a tag of the version, and the last one marks the note as done. The champion moves in one write, so
that some version serves all the time. A note that was left open is settled by what the aliases say.

Two moves at the same moment are not kept apart: the champion is the one of the later write.
"""

import getpass
import json
import socket
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from common.cli import UserError
from common.names import CHAMPION, PREVIOUS
from model_registry.versions.registry_client import Registry

TAG_PREFIX = "promotion."


@dataclass(frozen=True)
class AliasMove:
    """The champion's place went from one version to another."""

    when: datetime
    who: str
    why: str
    from_version: str | None
    """None: there was no champion."""
    to_version: str


@dataclass(frozen=True)
class _MoveRecord:
    """An event as a tag holds it, and what is needed to undo it while it is not done."""

    who: str
    why: str
    from_version: str | None
    previous_before: str | None
    done: bool


def promote(registry: Registry, version: str, who: str, why: str, when: datetime | None = None) -> None:
    """Make `version` the champion and the old champion `previous`. Nothing happens when it is the champion already.

    `UserError` when there is no such version. Any other error leaves a champion in its place, the old or the new one;
    calling again completes the move.
    """
    registry.by_number(version)
    _settle(registry)
    champion = _version(registry, CHAMPION)
    if champion == version:
        return
    key = TAG_PREFIX + (when or datetime.now(UTC)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    note = _MoveRecord(who, why, champion, _version(registry, PREVIOUS), done=False)
    _write(registry, version, key, note)
    if champion is not None:
        registry.client.set_registered_model_alias(registry.model_name, PREVIOUS, champion)
    registry.client.set_registered_model_alias(registry.model_name, CHAMPION, version)
    _write(registry, version, key, replace(note, done=True))


def rollback(registry: Registry, who: str, why: str) -> str:
    """Let champion and previous change places; return the version that serves now. `UserError` when there is none."""
    _settle(registry)
    previous = _version(registry, PREVIOUS)
    if previous is None or previous == _version(registry, CHAMPION):
        raise UserError(
            f"model {registry.model_name} has no previous champion to go back to. "
            "Name the version that shall serve: promote.py --version N --reason TEXT."
        )
    promote(registry, previous, who, why)
    return previous


def history(registry: Registry) -> list[AliasMove]:
    """Every move of the champion, oldest first. It changes nothing."""
    champion = _version(registry, CHAMPION)
    return [
        AliasMove(_time(key), note.who, note.why, note.from_version, version)
        for key, version, note in _notes(registry)
        if note.done or version == champion
    ]


def user_and_host() -> str:
    """Who runs this process, as NAME@HOST."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A container's user may have no name.
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _settle(registry: Registry) -> None:
    """Bring moves that were cut off to an end: those that reached the champion are done, of others nothing is left."""
    champion, previous = _version(registry, CHAMPION), _version(registry, PREVIOUS)
    for key, version, note in _notes(registry):
        if note.done:
            continue
        if version == champion:
            _write(registry, version, key, replace(note, done=True))
            continue
        if previous is not None and previous == champion == note.from_version:
            if note.previous_before is None:
                registry.client.delete_registered_model_alias(registry.model_name, PREVIOUS)
            else:
                registry.client.set_registered_model_alias(registry.model_name, PREVIOUS, note.previous_before)
        registry.client.delete_model_version_tag(registry.model_name, version, key)


def _version(registry: Registry, alias: str) -> str | None:
    found = registry.with_alias(alias)
    return None if found is None else str(found.version)


def _time(key: str) -> datetime:
    return datetime.fromisoformat(key.removeprefix(TAG_PREFIX))


def _write(registry: Registry, version: str, key: str, note: _MoveRecord) -> None:
    registry.client.set_model_version_tag(registry.model_name, version, key, json.dumps(asdict(note)))


def _notes(registry: Registry) -> list[tuple[str, str, _MoveRecord]]:
    """Every tag of ours with its version, oldest first."""
    return sorted(
        (
            (key, str(version.version), _MoveRecord(**json.loads(value)))
            for version in registry.versions()
            for key, value in version.tags.items()
            if key.startswith(TAG_PREFIX)
        ),
        key=lambda entry: entry[0],
    )
