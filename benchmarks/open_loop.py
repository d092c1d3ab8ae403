"""Requests at an even pace, whatever becomes of them, and what came back."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import cycle
from time import monotonic

import httpx

BATCH_EVERY = 5
"""Every fifth request asks for two images, which two workers predict in two runs: where versions could mix."""


@dataclass
class Answers:
    """What came back: milliseconds since the request was due, failures, and who said what."""

    milliseconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    mixed: int = 0
    version: str = ""
    """What answered the request sent last."""
    last_due: float = 0.0
    confidences: dict[tuple[str, str], set[float]] = field(default_factory=lambda: defaultdict(set))

    def take(self, images: list[str], response: httpx.Response, due: float) -> None:
        self.milliseconds.append((monotonic() - due) * 1000)
        results = response.json().get("results") if response.is_success else None
        if not results or any("target" not in item for item in results):
            self.failed.append(response.text[:200])
            return
        versions = {item["model_version"] for item in results}
        self.mixed += len(versions) > 1
        if due > self.last_due:
            self.version, self.last_due = min(versions), due
        for image, item in zip(images, results, strict=True):
            self.confidences[item["model_version"], image].add(item["confidence"])

    def wrong_version_answers(self) -> int:
        """Answers that are not those of the version they name: each version has its own for each image."""
        spread = {key: max(found) - min(found) for key, found in self.confidences.items()}
        return sum(each > 1e-4 for each in spread.values())


class Load:
    """Requests at an even pace, each on its time whatever became of the ones before."""

    def __init__(self, client: httpx.AsyncClient, images: list[str], rate: float) -> None:
        self._client, self._rate = client, rate
        self._images = cycle(images)
        self.answers = Answers()

    def record(self) -> Answers:
        """Begins a new record: the answers to all that is sent until the next call."""
        self.answers = Answers(version=self.answers.version)
        return self.answers

    async def run(self) -> None:
        start, number = monotonic(), 0
        async with asyncio.TaskGroup() as requests:
            while True:
                due = start + number / self._rate
                await asyncio.sleep(max(0.0, due - monotonic()))
                images = [next(self._images) for _ in range(1 if number % BATCH_EVERY else 2)]
                requests.create_task(self._ask(images, due, self.answers))
                number += 1

    async def _ask(self, images: list[str], due: float, answers: Answers) -> None:
        items = [{"image_path": image} for image in images]
        try:
            response = await self._client.post("/predict/batch", json={"items": items})
        except httpx.HTTPError as error:
            answers.failed.append(repr(error))
        else:
            answers.take(images, response, due)
