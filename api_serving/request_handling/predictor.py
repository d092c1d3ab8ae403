"""Decoding and inference, never on the event loop and never more at once than the machine has cores for."""

import base64
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
import numpy as np
import numpy.typing as npt

from api_serving.models.classifier import Classifier
from api_serving.models.model_loader import LoadedModel
from api_serving.request_handling.metrics import Metrics
from api_serving.request_handling.problems import Problem, overloaded
from api_serving.request_handling.schemas import Prediction, PredictionWithEmbedding
from common.pictures.embeddings import pack
from common.pictures.images import ImageTooLarge, InvalidImage, UnsupportedImage, open_image, to_model_input

ReadImage = Callable[[], bytes]
"""Gives an encoded image's bytes, or raises `Problem`. Called in a worker thread."""

Result = Prediction | Problem

_PROBLEMS: Final = ((ImageTooLarge, 413, "image-too-large"), (UnsupportedImage, 415, "unsupported-image"))


@dataclass(frozen=True)
class Decoded:
    """`pixels` are the model's input; `content` is the hash of the bytes they come from, empty unless asked for."""

    pixels: npt.NDArray[np.uint8]
    content: str


class ConcurrencyLimit:
    """At most `limit` requests inside; the next one is refused instead of queueing without end."""

    def __init__(self, limit: int, what: str) -> None:
        self.free = limit
        self._what = what

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a place. Raises the 503 `Problem` when there is none. Event loop only."""
        if self.free == 0:
            raise overloaded(self._what)
        self.free -= 1
        try:
            yield
        finally:
            self.free += 1


class Predictor:
    """Predicts images in chunks on `workers` threads.

    A request holds at most one chunk a worker in the queue, so a single image waits for at most one chunk of each
    batch before it, not for the batches.
    """

    def __init__(self, workers: int, chunk_size: int, metrics: Metrics) -> None:
        self._workers = workers
        self._chunk_size = chunk_size
        self._threads = anyio.CapacityLimiter(workers)
        self._metrics = metrics

    async def predict(
        self, model: LoadedModel, images: Sequence[ReadImage], with_embedding: bool = False
    ) -> list[Result]:
        """One result an image, in order; all of one model version."""
        size = min(self._chunk_size, math.ceil(len(images) / self._workers))
        starts = iter(range(0, len(images), size))
        results: dict[int, list[Result]] = {}

        async def lane() -> None:
            for start in starts:
                chunk = partial(self._predict_chunk, model, images[start : start + size], with_embedding)
                results[start] = await anyio.to_thread.run_sync(chunk, limiter=self._threads)

        async with anyio.create_task_group() as lanes:
            for _ in range(self._workers):
                lanes.start_soon(lane)
        return [result for start in sorted(results) for result in results[start]]

    def _predict_chunk(self, model: LoadedModel, images: Sequence[ReadImage], with_embedding: bool) -> list[Result]:
        decoded = [self._decode(read, with_embedding) for read in images]
        good = [item for item in decoded if not isinstance(item, Problem)]
        predictions = iter(self._infer(model, good, with_embedding) if good else ())
        results = [item if isinstance(item, Problem) else next(predictions) for item in decoded]
        self._metrics.count_results(model.info.version, results)
        return results

    def _decode(self, read: ReadImage, hashed: bool) -> Decoded | Problem:
        try:
            data = read()
            return Decoded(to_model_input(open_image(data)), hashlib.sha256(data).hexdigest() if hashed else "")
        except Problem as problem:
            return problem
        except InvalidImage as error:
            for kind, status, name in _PROBLEMS:
                if isinstance(error, kind):
                    return Problem(status, name, _sentence(error))
            return Problem(422, "damaged-image", _sentence(error))

    def _infer(self, model: LoadedModel, images: Sequence[Decoded], with_embedding: bool) -> Sequence[Prediction]:
        classifier, version = model.classifier, model.info.version
        pixels = np.stack([image.pixels for image in images])
        with self._metrics.inference_seconds.time():
            if not with_embedding:
                return [_prediction(classifier, version, row) for row in classifier.probabilities(pixels)]
            probabilities, embeddings = classifier.with_embeddings(pixels)
        packed = [None] * len(images) if embeddings is None else [_packed(row) for row in embeddings]
        return [
            PredictionWithEmbedding(
                **_prediction(classifier, version, row).model_dump(),
                content=image.content,
                embedding=data,
                embedding_method=classifier.embedding_method,
            )
            for row, image, data in zip(probabilities, images, packed, strict=True)
        ]


def _packed(embedding: npt.NDArray[np.float32]) -> str | None:
    """In base64; None for a picture whose numbers float16 cannot hold, which is no reason to refuse its prediction."""
    if not (np.abs(embedding) <= np.finfo(np.float16).max).all():
        return None
    return base64.b64encode(pack(embedding)).decode()


def _prediction(classifier: Classifier, version: str, row: npt.NDArray[np.float32]) -> Prediction:
    target = int(row.argmax())
    # float32 rounding may give 1.0000001.
    confidence = min(round(float(row[target]), 6), 1.0)
    return Prediction(
        target=target, class_name=classifier.classes[target], confidence=confidence, model_version=version
    )


def _sentence(error: InvalidImage) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
