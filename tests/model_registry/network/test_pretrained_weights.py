import io
import os
import pickle
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.pictures.embeddings import FloatArray
from model_registry.network.pretrained_weights import (
    MAGIC,
    PROTOCOL,
    UnsafeWeights,
    read_weights,
    sha256_of,
    weights_file,
)


class FloatStorage:
    """Stands for the class of that name in torch."""


class Storage:
    """Pickles as a reference to a storage of six numbers."""


def _rebuild_tensor_v2(*_: object) -> None:
    """Stands for the function of that name in torch._utils."""


class Call:
    """Pickles as a call of `function` when read."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


class Writer(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        return ("storage", FloatStorage, "7", "cpu", 6, None) if isinstance(value, Storage) else None


@pytest.fixture(autouse=True)
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much of torch as writing a file takes."""
    for name, content in (("torch", FloatStorage), ("torch._utils", _rebuild_tensor_v2)):
        module = types.ModuleType(name)
        setattr(module, content.__name__, content)
        monkeypatch.setattr(content, "__module__", name)
        monkeypatch.setitem(sys.modules, name, module)


def tensor(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Call:
    return Call(_rebuild_tensor_v2, Storage(), offset, shape, strides, False, {})


def write(folder: Path, tensors: object, magic: int = MAGIC, count: int = 6) -> Path:
    buffer = io.BytesIO()
    for part in (magic, PROTOCOL, {}, tensors, ["7"]):
        Writer(buffer, protocol=2).dump(part)
    buffer.write(struct.pack("<q", count) + np.arange(6, dtype="<f4").tobytes())
    file = folder / "weights.pth"
    file.write_bytes(buffer.getvalue())
    return file


def test_tensors_are_read_with_their_offset_and_strides(tmp_path: Path) -> None:
    read = read_weights(write(tmp_path, {"a": tensor(0, (2, 3), (3, 1)), "b": tensor(1, (2, 2), (1, 3))}))
    np.testing.assert_array_equal(read["a"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(read["b"], [[1, 4], [2, 5]])
    assert read["b"].flags.c_contiguous


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    file = write(tmp_path, Call(os.mkdir, str(trace)))
    with pytest.raises(UnsafeWeights, match=r"posix\.mkdir"):
        read_weights(file)
    assert not trace.exists()
    # The same bytes do run code where they are trusted.
    with file.open("rb") as unsafe:
        for _ in range(4):
            pickle.load(unsafe)  # noqa: S301 - the point of this test
    assert trace.is_dir()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (7,), (1,)), (4, (2, 2), (1, 2)), (-1, (2,), (1,)), (5, (2,), (-1,))],
)
def test_a_tensor_outside_its_storage_is_refused(
    tmp_path: Path, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    with pytest.raises(UnsafeWeights, match="outside"):
        read_weights(write(tmp_path, {"a": tensor(offset, shape, strides)}))


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeWeights, match="ends too early"):
        read_weights(write(tmp_path, {"a": tensor(0, (6,), (1,))}, count=7))


def test_another_container_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeWeights, match="expected kind"):
        read_weights(write(tmp_path, {}, magic=1))


def test_the_installed_weights_are_those_that_the_name_promises(weights: dict[str, FloatArray]) -> None:
    # The first eight digits are part of the file's published name.
    assert sha256_of(weights_file()).startswith("57934424")
    assert weights["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert weights["_fc.weight"].shape == (1000, 1280)
    assert sum(array.size for name, array in weights.items() if "running" not in name) == 4_652_008
