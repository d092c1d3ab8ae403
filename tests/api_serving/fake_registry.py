"""A registry whose versions are files in a folder and that can be hurt; everything after the download is real."""

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from api_serving.models.model_cache import MODEL_FILE
from api_serving.models.registry_client import ModelNotRegistered, RegisteredVersion, Registry, RegistryUnavailable
from common.waiting import wait_until
from tests.api_serving import tiny_model

AWAY = RegistryUnavailable("http://127.0.0.1:9 cannot be reached")
IMAGE = {"image_path": "red/red_1.jpg"}


@dataclass
class Api:
    """A running server and what can be seen of it from outside."""

    client: httpx.Client

    def version(self) -> str:
        return str(self.client.get("/model").json()["version"])

    def note(self) -> str | None:
        """As `/readyz` and `/model` agree on it, while predictions work."""
        ready, model = self.client.get("/readyz"), self.client.get("/model").json()
        assert ready.status_code == 200
        assert ready.json()["model_version"] == model["version"]
        note = model["note"]
        assert note is None or isinstance(note, str)
        return note

    def wait_for(self, version: int) -> None:
        wait_until(lambda: self.version() == str(version), f"version {version} answers", 10, 0.02)
        assert self.client.post("/predict", json=IMAGE).json()["model_version"] == str(version)

    def wait_for_note(self, words: str | None) -> None:
        def told() -> bool:
            note = self.note()
            return note is None if words is None else words in (note or "")

        wait_until(told, f"the note says {words}", 10, 0.02)

    def swaps(self, outcome: str) -> float:
        line = f'api_model_swaps_total{{outcome="{outcome}"}} '
        [found] = [each for each in self.client.get("/metrics").text.splitlines() if each.startswith(line)]
        return float(found.removeprefix(line))


class FakeRegistry(Registry):
    """`alias` names a version, or nothing. `fault` is raised by every question, `store_fault` by every download."""

    def __init__(self, folder: Path) -> None:
        super().__init__("http://127.0.0.1:9", timeout_s=1)
        self.folder = folder
        self.alias: str | None = None
        self.fault: Exception | None = None
        self.store_fault: Exception | None = None
        self.asked = 0
        self.downloads: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def add(self, version: int, promote: bool = True, **parameters: Any) -> Path:
        """Register a tiny model whose embeddings are its version."""
        self.folder.mkdir(exist_ok=True)
        file = tiny_model.build(self.folder / f"{version}.onnx", **({"embedding": float(version)} | parameters))
        if promote:
            self.alias = str(version)
        return file

    def by_alias(self, name: str, alias: str) -> RegisteredVersion:
        self.asked += 1
        self._may_answer()
        if self.alias is None:
            raise ModelNotRegistered(f"{self.uri} has no model {name!r} with alias {alias!r}")
        return RegisteredVersion(name, self.alias, f"run-{self.alias}")

    def knows(self, registered: RegisteredVersion) -> bool:
        self._may_answer()
        known = (self.folder / f"{registered.version}.onnx").exists()
        return known and registered.run_id == f"run-{registered.version}"

    def metrics(self, registered: RegisteredVersion) -> dict[str, float]:
        self._may_answer()
        return {"test_accuracy": 0.5}

    def _fetch(self, registered: RegisteredVersion, folder: Path) -> None:
        self.downloads.append(registered.version)
        assert self.open.wait(20)
        if self.store_fault is not None:
            raise self.store_fault
        file = self.folder / f"{registered.version}.onnx"
        if not file.exists():
            raise ModelNotRegistered(f"{self.uri} has no {registered}")
        if file.stat().st_size:
            shutil.copyfile(file, folder / MODEL_FILE)

    def _may_answer(self) -> None:
        if self.fault is not None:
            raise self.fault
