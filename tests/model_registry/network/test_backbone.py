"""The graph against the network's definition, computed without folding in NumPy, and against recorded figures."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from common.pictures.embeddings import EMBEDDING_SIZE, FloatArray
from model_registry.network.backbone import BATCH_NORM_EPSILON, OPSET
from model_registry.network.embedding_source import cpu_session

Array = npt.NDArray[Any]


def convolve(value: Array, kernel: Array, stride: int, groups: int) -> Array:
    """TensorFlow's SAME padding: as even as can be, the odd one below and right. value: [N, C, H, W]."""
    side, length = kernel.shape[-1], value.shape[-1]
    total = max((-(-length // stride) - 1) * stride + side - length, 0)
    pad = (total // 2, total - total // 2)
    padded = np.pad(value, ((0, 0), (0, 0), pad, pad))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (2, 3))[:, :, ::stride, ::stride]
    if groups == 1:
        return np.asarray(np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True))
    return np.asarray(np.einsum("nchwij,cij->nchw", windows, kernel[:, 0], optimize=True))


def normalise(value: Array, weights: Mapping[str, FloatArray], name: str) -> Array:
    mean, variance, gain, bias = (
        weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    normalised: Array = (value - mean) / np.sqrt(variance + BATCH_NORM_EPSILON) * gain + bias
    return normalised


def relu6(value: Array) -> Array:
    return np.clip(value, 0, 6)


def block(value: Array, weights: Mapping[str, FloatArray], name: str, stride: int) -> Array:
    inner = value
    if f"{name}._expand_conv.weight" in weights:
        inner = relu6(normalise(convolve(inner, weights[f"{name}._expand_conv.weight"], 1, 1), weights, f"{name}._bn0"))
    kernel = weights[f"{name}._depthwise_conv.weight"]
    inner = relu6(normalise(convolve(inner, kernel, stride, kernel.shape[0]), weights, f"{name}._bn1"))
    out = normalise(convolve(inner, weights[f"{name}._project_conv.weight"], 1, 1), weights, f"{name}._bn2")
    return out + value if stride == 1 and out.shape == value.shape else out


def inner_values(model: onnx.ModelProto, names: list[str], picture: npt.NDArray[np.uint8]) -> list[FloatArray]:
    opened = copy.deepcopy(model)
    opened.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    return list(cpu_session(opened).run(names, {"image": picture}))


def test_folded_graph_equals_the_unfolded_network(
    backbone: onnx.ModelProto, weights: dict[str, FloatArray], pictures: npt.NDArray[np.uint8]
) -> None:
    names = ["_conv_stem.out.relu6", "_blocks.0._project_conv.out", "_blocks.1._project_conv.out", "_blocks.2.sum"]
    stem, first, second, third = inner_values(backbone, names, pictures[:1])
    normalised = (pictures[:1].transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128
    expected = relu6(normalise(convolve(normalised, weights["_conv_stem.weight"], 2, 1), weights, "_bn0"))
    np.testing.assert_allclose(stem, expected, atol=1e-4)
    np.testing.assert_allclose(first, block(stem, weights, "_blocks.0", 1), atol=1e-4)
    # A 3×3 filter of stride 2 that widens first, and a residual one.
    np.testing.assert_allclose(second, block(first, weights, "_blocks.1", 2), atol=1e-4)
    np.testing.assert_allclose(third, block(second, weights, "_blocks.2", 1), atol=1e-4)


def test_the_whole_network_equals_the_unfolded_one(
    session: onnxruntime.InferenceSession, weights: dict[str, FloatArray], pictures: npt.NDArray[np.uint8]
) -> None:
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    value: Array = (pictures[:1].transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128
    value = relu6(normalise(convolve(value, weights["_conv_stem.weight"], 2, 1), weights, "_bn0"))
    for number, stride in enumerate(strides):
        value = block(value, weights, f"_blocks.{number}", stride)
    value = relu6(normalise(convolve(value, weights["_conv_head.weight"], 1, 1), weights, "_bn1"))
    (embedding,) = session.run(None, {"image": pictures[:1]})
    np.testing.assert_allclose(embedding, value.mean(axis=(2, 3)), atol=1e-4)


def test_shapes_and_opset(backbone: onnx.ModelProto, session: onnxruntime.InferenceSession) -> None:
    assert [(entry.domain, entry.version) for entry in backbone.opset_import] == [("", OPSET)]
    (image,), (embedding,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["N", 224, 224, 3])
    assert (embedding.name, embedding.type, embedding.shape) == ("embedding", "tensor(float)", ["N", EMBEDDING_SIZE])
    assert 13e6 < backbone.ByteSize() < 14e6


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_picture_has_the_same_embedding_in_any_batch(
    session: onnxruntime.InferenceSession, pictures: npt.NDArray[np.uint8], size: int
) -> None:
    (alone,) = session.run(None, {"image": pictures[:1]})
    (together,) = session.run(None, {"image": pictures[:size]})
    assert together.shape == (size, EMBEDDING_SIZE)
    np.testing.assert_allclose(together[:1], alone, atol=1e-4)


KNOWN = {7: 0.0, 12: 0.0, 640: 0.0, 1000: 0.0, 1279: 0.0, 113: 3.8072, 897: 3.6694, 930: 3.448}


def test_known_answer(session: onnxruntime.InferenceSession) -> None:
    """A fixed picture, a colour gradient with a bright square; recorded with onnxruntime 1.31 on x86-64."""
    ramp = np.arange(224, dtype=np.uint8)
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], ramp[::-1, None]), axis=-1).copy()
    picture[60:120, 90:180] = 255
    (embedding,) = session.run(None, {"image": picture[None]})
    np.testing.assert_allclose(embedding[0, list(KNOWN)], list(KNOWN.values()), atol=1e-3)
    np.testing.assert_allclose(
        [embedding.mean(), embedding.std(), embedding.max()], [0.0878, 0.3322, 3.8072], atol=1e-3
    )
