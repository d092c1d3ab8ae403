"""Turns image files into the backbone's embeddings, each picture only once, wherever it was seen before."""

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from rich.console import Console
from rich.progress import track

from common.cli import UserError
from common.pictures import embeddings, images
from common.pictures.embeddings import EMBEDDING_SIZE, FloatArray, as_stored
from model_registry.network.backbone import PRECISION, network_sha256, pretrained_backbone
from model_registry.network.embedding_cache import EmbeddingCache

log = logging.getLogger(__name__)

BATCH_SIZE = 16
"""Pictures a run: more makes the network no faster on a CPU, and takes more memory."""

SOURCES = ("streamed", "cached", "computed")

T = TypeVar("T")


def cpu_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Ready to run `model` on the CPU."""
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """The model's input for one file: uint8 [224, 224, 3]. `UserError` names a file that is no good image."""
    try:
        return images.to_model_input(images.open_image(path.read_bytes()))
    except (OSError, images.InvalidImage) as error:
        raise UserError(f"{path} cannot be used: {error}") from error


def batches(items: Iterable[T], size: int = BATCH_SIZE) -> Iterator[list[T]]:
    """`items` in lists of `size`, the last one shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def embedding_method() -> str:
    """Names what makes embeddings here; a service that runs one of the trained graphs gives its own the same name."""
    return embeddings.embedding_method(network_sha256(), PRECISION)


class EmbeddingSource:
    """The embeddings that one run asks for. It reads no file twice, so a file must not change while it lasts.

    Looked up by the file's content, as `content_hash` names it: among what streamed, then in `cache_file`; the rest is
    computed and added there.
    """

    def __init__(self, cache_file: Path, content_hash: Callable[[Path], str]) -> None:
        self.content_hash = cache(content_hash)
        self._cache = EmbeddingCache(cache_file, embedding_method())
        self._streamed: dict[str, FloatArray] = {}
        self._known: dict[str, FloatArray] = {}
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """Different pictures asked for so far, by where their embeddings came from: one of `SOURCES`."""
        return {source: self._counts[source] for source in SOURCES}

    def describe_counts(self) -> str:
        """The same in words."""
        streamed, cached, computed = self.counts.values()
        return f"embeddings: {streamed} from the stream, {cached} from the cache, {computed} computed"

    def add_streamed(self, streamed: Mapping[Path, tuple[str, FloatArray]]) -> None:
        """Content hash and embedding [1280] with which files streamed; a file that has changed since is noticed."""
        for path, (content, vector) in streamed.items():
            self._streamed[content] = vector
            if self.content_hash(path) != content:
                log.warning("%s has changed since it streamed: it is embedded as it is now", path)

    def of(self, paths: Sequence[Path]) -> FloatArray:
        """Of image files, float32 [len(paths), 1280] in the order given, rounded as they are stored.

        `UserError` names an unreadable image.
        """
        wanted = {self.content_hash(path): path for path in paths}
        self._find("streamed", {content: self._streamed[content] for content in wanted.keys() & self._streamed.keys()})
        self._find("cached", self._cache.get(wanted.keys() - self._known.keys()))
        missing = [(content, path) for content, path in wanted.items() if content not in self._known]
        if missing:
            self._compute(missing)
        vectors = [self._known[self.content_hash(path)] for path in paths]
        return np.array(vectors, dtype=np.float32).reshape(-1, EMBEDDING_SIZE)

    def _find(self, source: str, found: Mapping[str, FloatArray]) -> None:
        self._counts[source] += len(found.keys() - self._known.keys())
        self._known = {**found, **self._known}

    def _compute(self, missing: Sequence[tuple[str, Path]]) -> None:
        session = cpu_session(pretrained_backbone())
        progress = track(missing, description="Embedding images", console=Console(stderr=True))
        for batch in batches(progress):
            pictures = np.stack([read_image(path) for _, path in batch])
            (vectors,) = session.run(["embedding"], {"image": pictures})
            fresh = {content: vector for (content, _), vector in zip(batch, as_stored(vectors), strict=True)}
            self._cache.put(fresh)
            self._find("computed", fresh)
