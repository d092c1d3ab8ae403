"""A picture as the frozen network sees it: 1280 numbers that are computed once and serve everyone who asks later."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

EMBEDDING_SIZE: Final = 1280
FEATURES: Final = 128
"""Numbers that drift is measured on. Of half-corrupted streams the MMD notices the median one after 132 images with 32,
after 67 with 128."""

PROJECTION: Final = "signs-128-1"
"""Names `project`; features of another projection cannot be compared with its own."""

_STORED: Final = np.dtype("<f2")
EMBEDDING_BYTES: Final = EMBEDDING_SIZE * _STORED.itemsize

FloatArray = npt.NDArray[np.float32]


def pack(embeddings: FloatArray) -> bytes:
    """float32 [1280] or [N, 1280] as little-endian float16: 2560 bytes each."""
    return embeddings.astype(_STORED).tobytes()


def unpack(data: bytes) -> FloatArray:
    """The opposite of `pack`: float32 [N, 1280], rounded as float16 is."""
    return np.frombuffer(data, _STORED).reshape(-1, EMBEDDING_SIZE).astype(np.float32)


def as_stored(embeddings: FloatArray) -> FloatArray:
    """What `pack` and `unpack` leave: so a computed embedding equals the kept one of the same picture."""
    return embeddings.astype(_STORED).astype(np.float32)


def embedding_method(backbone: str, precision: str) -> str:
    """Names what makes an embedding; two that differ in it must not be compared.

    `backbone` is the hash of the network, `precision` what its numbers are computed in. Preprocessing and the libraries
    that decode and compute are those installed here.
    """
    parts = [
        backbone,
        precision,
        hashlib.sha256(Path(__file__).with_name("images.py").read_bytes()).hexdigest(),
        *(f"{name} {version(name)}" for name in ("Pillow", "onnxruntime")),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def project(embeddings: FloatArray) -> FloatArray:
    """float32 [N, 1280] to features [N, 128] that keep the distances between them, nearly; the same for every model.

    Sums with random signs (Achlioptas 2003). The signs come from a hash, so they are the same on every machine.
    """
    # Not by matrix multiplication: its threads wait for each other busily, for sums as small as these.
    features: FloatArray = np.einsum("nd,df->nf", embeddings, _signs())
    return features


@cache
def _signs() -> FloatArray:
    bits = np.frombuffer(hashlib.shake_256(PROJECTION.encode()).digest(EMBEDDING_SIZE * FEATURES // 8), np.uint8)
    signs = np.unpackbits(bits).reshape(EMBEDDING_SIZE, FEATURES).astype(np.float32) * 2 - 1
    return signs / np.float32(np.sqrt(FEATURES))
