"""What every long-running worker has: a clean stop, a heartbeat file, and what it tells on /livez and /readyz."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

Probe = Callable[[], tuple[bool, dict[str, Any]]]
"""Whether all is well (200, else 503), and what else the JSON answer says."""


def stop_event() -> threading.Event:
    """An event that SIGTERM and SIGINT set; loops end at their next turn, after finishing what they hold."""
    event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: event.set())
    return event


class Health:
    """What a worker lacks right now, and when its loop last turned. Safe to use from several threads."""

    def __init__(self, heartbeat_file: Path | None = None, stale_after_s: float = 30.0) -> None:
        self._missing: dict[str, str] = {}
        self._notes: dict[str, str] = {}
        self._changing = threading.Lock()
        self._heartbeat_file = heartbeat_file
        self._stale_after_s = stale_after_s
        self._last_beat = time.monotonic()

    def mark_missing(self, part: str, reason: str) -> None:
        """Say that `part` is missing; `/readyz` answers 503 with the reason until `mark_available` is called."""
        with self._changing:
            if self._missing.get(part) != reason:
                log.warning("%s is missing: %s", part, reason)
            self._missing = {**self._missing, part: reason}

    def mark_available(self, part: str) -> None:
        """Say that `part` is there (again)."""
        with self._changing:
            if part in self._missing:
                log.info("%s is there", part)
                self._missing = {name: why for name, why in self._missing.items() if name != part}

    def note(self, part: str, text: str | None) -> None:
        """Say something about `part` on `/readyz` that keeps nobody from working; None takes it back."""
        with self._changing:
            if text is not None and self._notes.get(part) != text:
                log.warning("%s: %s", part, text)
            others = {name: known for name, known in self._notes.items() if name != part}
            self._notes = others if text is None else {**others, part: text}

    def beat(self) -> None:
        """Call once a loop turn: keeps `/livez` green and touches the heartbeat file."""
        self._last_beat = time.monotonic()
        if self._heartbeat_file is not None:
            self._heartbeat_file.parent.mkdir(parents=True, exist_ok=True)
            self._heartbeat_file.touch()

    def live(self) -> tuple[bool, dict[str, Any]]:
        """Whether the loop turned lately, and how long ago in seconds."""
        age = time.monotonic() - self._last_beat
        return age < self._stale_after_s, {"seconds_since_last_turn": round(age, 1)}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether nothing is missing, and what is; `notes` where there are any."""
        with self._changing:
            missing, notes = self._missing, self._notes
        return not missing, {"missing": missing, **({"notes": notes} if notes else {})}
