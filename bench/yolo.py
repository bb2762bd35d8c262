"""YOLO11n with random weights: the shape of today's detectors, with activations of 0.9 MB at 320x320."""

from __future__ import annotations

from typing import List

import numpy as np
import onnx
from networks import Builder
from onnx import numpy_helper

# Classes, and values for each side of a box.
CLASSES, BINS = 80, 16


class _Yolo(Builder):
    """Blocks by the names that the model's own description has."""

    def _integers(self, *values: int) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def activate(self, x: str, act: str) -> str:
        if act != "silu":
            return super().activate(x, act)
        channels = self.channels[x]
        return self.node("Mul", x, self.node("Sigmoid", x, channels=channels), channels=channels)

    def silu(self, x: str, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> str:
        return self.conv(x, outputs, kernel, stride, groups, act="silu")

    def some(self, x: str, first: int, end: int, axis: int = 1) -> str:
        """Elements first..end - 1 along an axis, channels if that is 1."""
        bounds = [self._integers(value) for value in (first, end, axis)]
        return self.node("Slice", x, *bounds, channels=end - first)

    def concat(self, *inputs: str) -> str:
        return self.node("Concat", *inputs, channels=sum(self.channels[x] for x in inputs), axis=1)

    def bottleneck(self, x: str, inner: int) -> str:
        channels = self.channels[x]
        return self.node("Add", x, self.silu(self.silu(x, inner, 3), channels, 3), channels=channels)

    def c3k(self, x: str) -> str:
        channels, half = self.channels[x], self.channels[x] // 2
        y, z = self.silu(x, half), self.silu(x, half)
        for _ in range(2):
            y = self.bottleneck(y, half)
        return self.silu(self.concat(y, z), channels)

    def c3k2(self, x: str, outputs: int, deep: bool, part: float = 0.5) -> str:
        inner = int(outputs * part)
        x = self.silu(x, 2 * inner)
        a, b = self.some(x, 0, inner), self.some(x, inner, 2 * inner)
        c = self.c3k(b) if deep else self.bottleneck(b, inner // 2)
        return self.silu(self.concat(a, b, c), outputs)

    def sppf(self, x: str) -> str:
        channels = self.channels[x]
        found = [self.silu(x, channels // 2)]
        for _ in range(3):
            window = {"kernel_shape": [5, 5], "strides": [1, 1], "pads": [2] * 4}
            found.append(self.node("MaxPool", found[-1], channels=channels // 2, **window))
        return self.silu(self.concat(*found), channels)

    def attention(self, x: str, pixels: int, size: int) -> str:
        channels = self.channels[x]
        heads, key = channels // 64, 32
        both = self.conv(x, channels + 2 * heads * key, act="")
        both = self.node("Reshape", both, self._integers(1, heads, 2 * key + 64, pixels), channels=heads)
        q, k = self.some(both, 0, key, 2), self.some(both, key, 2 * key, 2)
        v = self.some(both, 2 * key, 2 * key + 64, 2)
        scores = self.node("MatMul", self.node("Transpose", q, channels=heads, perm=[0, 1, 3, 2]), k, channels=heads)
        scaled = self.node("Mul", scores, self._constant(np.float32(key**-0.5)), channels=heads)
        weights = self.node("Softmax", scaled, channels=heads, axis=-1)
        turned = self.node("Transpose", weights, channels=heads, perm=[0, 1, 3, 2])
        image = self._integers(1, channels, size, size)
        y = self.node("Reshape", self.node("MatMul", v, turned, channels=heads), image, channels=channels)
        place = self.conv(self.node("Reshape", v, image, channels=channels), channels, 3, groups=channels, act="")
        return self.conv(self.node("Add", y, place, channels=channels), channels, act="")

    def c2psa(self, x: str, size: int) -> str:
        channels = self.channels[x]
        inner = channels // 2
        x = self.silu(x, channels)
        a, b = self.some(x, 0, inner), self.some(x, inner, channels)
        b = self.node("Add", b, self.attention(b, size * size, size), channels=inner)
        b = self.node("Add", b, self.conv(self.silu(b, 2 * inner), inner, act=""), channels=inner)
        return self.silu(self.concat(a, b), channels)

    def larger(self, x: str) -> str:
        scales = self._constant(np.array([1, 1, 2, 2], np.float32))
        return self.node("Resize", x, "", scales, channels=self.channels[x], mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip

    def head(self, x: str) -> List[str]:
        """Boxes and scores of one scale."""
        box = self.conv(self.silu(self.silu(x, 64, 3), 64, 3), 4 * BINS, act="")
        y = x
        for _ in range(2):
            y = self.silu(self.silu(y, self.channels[y], 3, groups=self.channels[y]), CLASSES)
        return [box, self.conv(y, CLASSES, act="")]


def yolo11n(size: int = 320) -> onnx.ModelProto:
    """Six outputs: boxes [1, 64, H, W] and scores [1, 80, H, W] at an eighth, a sixteenth and a thirty-second."""
    b = _Yolo("yolo11n")
    x = b.silu(b.silu(b.input(1, 3, size, size), 16, 3, 2), 32, 3, 2)
    x = b.silu(b.c3k2(x, 64, False, 0.25), 64, 3, 2)
    fine = b.c3k2(x, 128, False, 0.25)
    middle = b.c3k2(b.silu(fine, 128, 3, 2), 128, True)
    coarse = b.c3k2(b.silu(middle, 256, 3, 2), 256, True)
    coarse = b.c2psa(b.sppf(coarse), size // 32)
    middle = b.c3k2(b.concat(b.larger(coarse), middle), 128, False)
    fine = b.c3k2(b.concat(b.larger(middle), fine), 64, False)
    middle = b.c3k2(b.concat(b.silu(fine, 64, 3, 2), middle), 128, False)
    coarse = b.c3k2(b.concat(b.silu(middle, 128, 3, 2), coarse), 256, True)
    outputs = [output for x in (fine, middle, coarse) for output in b.head(x)]
    model = b.model(outputs[0])
    for output in outputs[1:]:
        model.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    return onnx.shape_inference.infer_shapes(model)
