"""EfficientNet-Lite0 without its classifier, as an ONNX graph: pictures in, 1280 numbers a picture out.

Architecture: Tan and Le, "EfficientNet" (2019), and its Lite variant without squeeze-and-excitation and with ReLU6.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common.pictures.embeddings import EMBEDDING_SIZE, FloatArray
from common.pictures.images import INPUT_SIDE
from model_registry.network.pretrained_weights import read_weights, sha256_of, weights_file

OPSET = 17
IR_VERSION = 8
"""The file format that goes with opset 17: any onnxruntime since 1.13 runs it."""

BATCH_NORM_EPSILON = 1e-3
MEAN, SCALE = 127.0, 128.0
"""The network was trained on (x − 127) / 128."""

PRECISION = "float32"
"""What the graph computes in."""

STAGES = (
    # (blocks, stride of the first block, expansion, channels out); the weights know the kernels' sizes
    (1, 1, 1, 16),
    (2, 2, 6, 24),
    (2, 2, 6, 40),
    (3, 2, 6, 80),
    (3, 1, 6, 112),
    (4, 2, 6, 192),
    (1, 1, 6, 320),
)


def fold_batch_norm(weights: Mapping[str, FloatArray], convolution: str, norm: str) -> tuple[FloatArray, FloatArray]:
    """Kernel (out, in/groups, k, k) and bias (out) that do what the convolution and its batch-norm did together."""
    mean, variance = (weights[f"{norm}.running_{name}"].astype(np.float64) for name in ("mean", "var"))
    gain = weights[f"{norm}.weight"] / np.sqrt(variance + BATCH_NORM_EPSILON)
    kernel = weights[f"{convolution}.weight"] * gain[:, None, None, None]
    return kernel.astype(np.float32), (weights[f"{norm}.bias"] - mean * gain).astype(np.float32)


@dataclass
class _Graph:
    """Nodes and constants under construction; every method returns the name of the value it makes."""

    weights: Mapping[str, FloatArray]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: FloatArray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def convolve(self, value: str, convolution: str, norm: str, *, stride: int = 1, groups: int = 1) -> str:
        kernel, bias = fold_batch_norm(self.weights, convolution, norm)
        inputs = [value, self.constant(f"{convolution}.kernel", kernel), self.constant(f"{convolution}.bias", bias)]
        side = kernel.shape[-1]
        return self.add(
            "Conv",
            inputs,
            f"{convolution}.out",
            kernel_shape=[side, side],
            strides=[stride, stride],
            group=groups,
            auto_pad="SAME_UPPER",
        )

    def relu6(self, value: str) -> str:
        return self.add("Clip", [value, "zero", "six"], f"{value}.relu6")

    def block(self, value: str, name: str, stride: int, expansion: int, channels: tuple[int, int]) -> str:
        """An inverted residual block: widen, filter each channel, narrow, and add the input where shapes allow."""
        wide = channels[0] * expansion
        inner = value
        if expansion != 1:
            inner = self.relu6(self.convolve(inner, f"{name}._expand_conv", f"{name}._bn0"))
        filtered = self.convolve(inner, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, groups=wide)
        narrow = self.convolve(self.relu6(filtered), f"{name}._project_conv", f"{name}._bn2")
        if stride == 1 and channels[0] == channels[1]:
            return self.add("Add", [narrow, value], f"{name}.sum")
        return narrow


def build_backbone(weights: Mapping[str, FloatArray]) -> onnx.ModelProto:
    """Input `image`: uint8 [N, 224, 224, 3], RGB. Output `embedding`: float32 [N, 1280]."""
    graph = _Graph(weights)
    for name, number in (("zero", 0.0), ("six", 6.0), ("mean", MEAN), ("scale", SCALE)):
        graph.constant(name, np.array(number, dtype=np.float32))
    value = graph.add("Transpose", ["image"], "channels_first", perm=[0, 3, 1, 2])
    value = graph.add("Cast", [value], "pixels", to=TensorProto.FLOAT)
    value = graph.add("Div", [graph.add("Sub", [value, "mean"], "centred"), "scale"], "normalised")
    value = graph.relu6(graph.convolve(value, "_conv_stem", "_bn0", stride=2))
    channels, number = 32, 0
    for repeats, first_stride, expansion, out in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            value = graph.block(value, f"_blocks.{number}", stride, expansion, (channels, out))
            channels, number = out, number + 1
    value = graph.relu6(graph.convolve(value, "_conv_head", "_bn1"))
    graph.add("Flatten", [graph.add("GlobalAveragePool", [value], "pooled")], "embedding", axis=1)
    return _finish(graph)


def _finish(graph: _Graph) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", INPUT_SIDE, INPUT_SIDE, 3])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", EMBEDDING_SIZE])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "efficientnet_lite0", [image], [embedding], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="cargo-mlops",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


@cache
def pretrained_backbone() -> onnx.ModelProto:
    """The backbone with the installed package's weights. Do not change the result: it is shared."""
    return build_backbone(read_weights(weights_file()))


@cache
def backbone_sha256() -> str:
    """Identifies the weights by the hash of their file."""
    return sha256_of(weights_file())


@cache
def network_sha256() -> str:
    """Identifies the graph that makes embeddings: structure and folded weights."""
    return hashlib.sha256(pretrained_backbone().SerializeToString(deterministic=True)).hexdigest()
