"""Turns image files into the backbone's embeddings, each picture only once."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import PIL
from rich.console import Console
from rich.progress import track

from common import images
from common.cli import UserError
from model_registry.backbone import EMBEDDING_SIZE, pretrained_backbone
from model_registry.embedding_cache import EmbeddingCache
from model_registry.weights import FloatArray

BATCH_SIZE = 16
"""Pictures a run: more makes the network no faster on a CPU, and takes more memory."""

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


def content_hash(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes. `UserError` when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


@cache
def embedding_method() -> str:
    """Changes with whatever changes an embedding: network, weights, preprocessing, and the libraries that run them."""
    parts = [
        pretrained_backbone().SerializeToString(deterministic=True),
        Path(images.__file__).read_bytes(),
        f"Pillow {PIL.__version__} onnxruntime {onnxruntime.__version__}".encode(),
    ]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def embed(paths: Sequence[Path], cache_file: Path) -> FloatArray:
    """Embeddings of image files, float32 [len(paths), 1280] in the order given.

    Known contents come from `cache_file`; the rest is computed and added. `UserError` names an unreadable image.
    """
    store = EmbeddingCache(cache_file, embedding_method())
    contents = [content_hash(path) for path in paths]
    by_content = dict(zip(contents, paths, strict=True))
    known = store.get(by_content)
    missing = [(content, path) for content, path in by_content.items() if content not in known]
    if missing:
        known |= _compute(missing, store)
    return np.array([known[content] for content in contents], dtype=np.float32).reshape(-1, EMBEDDING_SIZE)


def _compute(missing: list[tuple[str, Path]], store: EmbeddingCache) -> dict[str, FloatArray]:
    session = cpu_session(pretrained_backbone())
    computed: dict[str, FloatArray] = {}
    progress = track(missing, description="Embedding images", console=Console(stderr=True))
    for batch in batches(progress):
        pictures = np.stack([read_image(path) for _, path in batch])
        (vectors,) = session.run(["embedding"], {"image": pictures})
        fresh = {content: vector for (content, _), vector in zip(batch, vectors, strict=True)}
        store.put(fresh)
        computed |= fresh
    return computed
