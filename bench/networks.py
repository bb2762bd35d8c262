"""Networks for the bench, made from a fixed seed: float ONNX models with batch-normalized scales of activations."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13


class Builder:
    """A float model, node by node; weights are random, scaled so that activations keep their size."""

    def __init__(self, name: str, seed: int = 1):
        self.name, self.random = name, np.random.RandomState(seed)
        self.nodes: List[onnx.NodeProto] = []
        self.initializers: List[onnx.TensorProto] = []
        self.channels: Dict[str, int] = {}

    def input(self, *shape: int) -> str:
        self.shape = shape
        self.channels["input"] = shape[1]
        return "input"

    def node(self, op_type: str, *inputs: str, channels: int, **attributes) -> str:
        output = f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [output], f"{op_type}_{len(self.nodes)}", **attributes)
        )
        self.channels[output] = channels
        return output

    def _constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def conv(self, x: str, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: str = "relu") -> str:
        """Convolution with bias, padded so that the size is divided by the stride, and its activation."""
        inputs = self.channels[x] // groups
        weights = self.random.randn(outputs, inputs, kernel, kernel) * np.sqrt(2.0 / (inputs * kernel * kernel))
        bias = self.random.randn(outputs) * 0.1
        before = (kernel - 1) // 2
        pads = [before, before, kernel - 1 - before, kernel - 1 - before]
        y = self.node(
            "Conv",
            x,
            self._constant(weights),
            self._constant(bias),
            channels=outputs,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=pads,
            group=groups,
        )
        return self.activate(y, act)

    def activate(self, x: str, act: str) -> str:
        channels = self.channels[x]
        if act == "relu6":
            bounds = [self._constant(np.float32(0)), self._constant(np.float32(6))]
            return self.node("Clip", x, *bounds, channels=channels)
        return self.node("Relu", x, channels=channels) if act == "relu" else x

    def inverted_residual(self, x: str, expansion: int, outputs: int, stride: int, adds: bool) -> str:
        """A block of MobileNetV2: 1x1, depthwise 3x3, 1x1; adds: its input to the result."""
        inner, y = self.channels[x] * expansion, x
        if expansion > 1:
            y = self.conv(y, inner, act="relu6")
        y = self.conv(y, inner, 3, stride, groups=inner, act="relu6")
        y = self.conv(y, outputs, act="")
        return self.node("Add", y, x, channels=outputs) if adds else y

    def dense(self, x: str, outputs: int, act: str = "relu") -> str:
        inputs = self.channels[x]
        weights = self.random.randn(outputs, inputs) * np.sqrt(2.0 / inputs)
        bias = self.random.randn(outputs) * 0.1
        y = self.node("Gemm", x, self._constant(weights), self._constant(bias), channels=outputs, transB=1)
        return self.activate(y, act)

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        return onnx.shape_inference.infer_shapes(model)


def classifier(b: Builder, x: str, classes: int) -> onnx.ModelProto:
    """The network that ends in the mean of an image, a dense layer and a softmax."""
    channels = b.channels[x]
    x = b.node("Flatten", b.node("GlobalAveragePool", x, channels=channels), channels=channels, axis=1)
    return b.model(b.node("Softmax", b.dense(x, classes, act=""), channels=classes, axis=1))


def mobilenet_v1_025() -> onnx.ModelProto:
    """MobileNetV1, a quarter of its width, for images of 96x96: 27 convolutions."""
    b = Builder("mobilenet_v1_025")
    x = b.conv(b.input(1, 3, 96, 96), 8, 3, 2)
    blocks = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for outputs, stride in blocks:
        x = b.conv(x, b.channels[x], 3, stride, groups=b.channels[x])
        x = b.conv(x, outputs)
    return classifier(b, x, 2)


def mobilenet_v2_of(name: str, size: int, first: int, widths: Sequence[int], classes: int) -> onnx.ModelProto:
    """MobileNetV2 for images of size x size. first, widths: output channels of the first layer, and of each stage"""
    b = Builder(name)
    x = b.conv(b.input(1, 3, size, size), first, 3, 2, act="relu6")
    # expansion, blocks, stride of the first
    stages = (1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1)
    for (expansion, count, stride), outputs in zip(stages, widths):
        for index in range(count):
            x = b.inverted_residual(x, expansion, outputs, stride if index == 0 else 1, index > 0)
    return classifier(b, b.conv(x, 1280, act="relu6"), classes)


def mobilenet_v2_035(size: int = 96) -> onnx.ModelProto:
    """MobileNetV2, 0.35 of its width, for images of 96x96, or another size."""
    return mobilenet_v2_of("mobilenet_v2_035", size, 16, (8, 8, 16, 24, 32, 56, 112), 10)


def autoencoder() -> onnx.ModelProto:
    """The fully connected autoencoder of machine sounds: 640-128-128-128-128-8-128-128-128-128-640."""
    b = Builder("autoencoder")
    x = b.input(1, 640)
    for outputs in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = b.dense(x, outputs)
    return b.model(b.dense(x, 640, act=""))


def layer(kind: str, size: int, inputs: int, outputs: int, stride: int = 1) -> Callable[[], onnx.ModelProto]:
    """One layer behind a relu: kind is "1x1", "3x3", "5x5" or "depthwise 3x3"."""

    def make() -> onnx.ModelProto:
        b = Builder("layer")
        x = b.activate(b.input(1, inputs, size, size), "relu")
        kernel = int(kind.split("x")[0].split()[-1])
        return b.model(b.conv(x, outputs, kernel, stride, groups=inputs if kind.startswith("depthwise") else 1))

    return make


def pooled_layer(size: int, inputs: int, outputs: int) -> Callable[[], onnx.ModelProto]:
    """A layer of 3x3 behind a max pool of an image twice as high and wide: so it has scratch memory."""

    def make() -> onnx.ModelProto:
        b = Builder("layer")
        x = b.activate(b.input(1, inputs, 2 * size, 2 * size), "relu")
        x = b.node("MaxPool", x, channels=inputs, kernel_shape=[2, 2], strides=[2, 2])
        return b.model(b.conv(x, outputs, 3))

    return make


def averaged(size: int, inputs: int, outputs: int) -> Callable[[], onnx.ModelProto]:
    """The mean of an image behind a relu, and a dense layer of it: the end of a classifier."""

    def make() -> onnx.ModelProto:
        b = Builder("layer")
        x = b.activate(b.input(1, inputs, size, size), "relu")
        x = b.node("Flatten", b.node("GlobalAveragePool", x, channels=inputs), channels=inputs, axis=1)
        return b.model(b.dense(x, outputs, act=""))

    return make


NETWORKS: Dict[str, Callable[[], onnx.ModelProto]] = {
    "mobilenet_v1_025": mobilenet_v1_025,
    "autoencoder": autoencoder,
    "mobilenet_v2_035": mobilenet_v2_035,
}

LAYERS: Dict[str, Callable[[], onnx.ModelProto]] = {
    "1x1, 8 to 16, 24x24": layer("1x1", 24, 8, 16),
    "1x1, 16 to 32, 20x20": layer("1x1", 20, 16, 32),
    "1x1, 64 to 64, 12x12": layer("1x1", 12, 64, 64),
    "1x1, 128 to 128, 6x6": layer("1x1", 6, 128, 128),
    "3x3, 3 to 16, 32x32": layer("3x3", 32, 3, 16),
    "3x3, 16 to 16, 20x20": layer("3x3", 20, 16, 16),
    "3x3, 32 to 32, 16x16": layer("3x3", 16, 32, 32),
    "3x3, 64 to 64, 8x8": layer("3x3", 8, 64, 64),
    "3x3, 16 to 16, 20x20, behind a pool": pooled_layer(20, 16, 16),
    "3x3, 32 to 32, 16x16, behind a pool": pooled_layer(16, 32, 32),
    "3x3, 64 to 64, 8x8, behind a pool": pooled_layer(8, 64, 64),
    "3x3 stride 2, 32 to 16, 20x20": layer("3x3", 20, 32, 16, 2),
    "5x5 stride 2, 16 to 32, 22x22": layer("5x5", 22, 16, 32, 2),
    "depthwise 3x3, 8, 48x48": layer("depthwise 3x3", 48, 8, 8),
    "depthwise 3x3, 32, 24x24": layer("depthwise 3x3", 24, 32, 32),
    "depthwise 3x3, 64, 12x12": layer("depthwise 3x3", 12, 64, 64),
    "depthwise 3x3 stride 2, 64, 24x24": layer("depthwise 3x3", 24, 64, 64, 2),
    "depthwise 3x3, 128, 6x6": layer("depthwise 3x3", 6, 128, 128),
    "dense behind a mean of int16, 256 to 10, 6x6": averaged(6, 256, 10),
}

# The layers with tensors of int16, and their names. They are counted on the ESP32-S3 too: there, whether a network of
# the bench has such tensors hangs on what they were counted at before.
WIDE: Dict[str, str] = {"dense behind a mean of int16, 256 to 10, 6x6": "globalaveragepool_1,gemm_3"}


def samples(model: onnx.ModelProto, count: int, seed: int = 2) -> Dict[str, np.ndarray]:
    """Normally distributed samples {input: [count, *shape]}."""
    port = model.graph.input[0]
    shape = [dim.dim_value for dim in port.type.tensor_type.shape.dim]
    return {port.name: np.random.RandomState(seed).randn(count, *shape).astype(np.float32)}


def find(name: str) -> Optional[Callable[[], onnx.ModelProto]]:
    """The maker of a network or layer."""
    return NETWORKS.get(name) or LAYERS.get(name)
