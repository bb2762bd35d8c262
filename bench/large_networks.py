"""The shapes of large networks that people put on these chips, with random weights: for the time of quantizing."""

from __future__ import annotations

from typing import Callable, Dict

import numpy as np
import onnx
from networks import Builder, mobilenet_v2_of
from yolo import yolo11n


def mobilenet_v2(size: int = 224) -> onnx.ModelProto:
    """MobileNetV2 1.0 for images of 224x224: 300.8 M MAC."""
    return mobilenet_v2_of("mobilenet_v2", size, 32, (16, 24, 32, 64, 96, 160, 320), 1000)


def osnet(height: int = 192, width: int = 96) -> onnx.ModelProto:
    """OSNet, a quarter of its width: 46 M MAC in 187 convolutions; blocks look at four scales, each with a gate."""
    b = Builder("osnet")
    x = b.conv(b.input(1, 3, height, width), 16, 7, 2)
    x = b.node("MaxPool", x, channels=16, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for outputs, shrinks in ((64, True), (96, True), (128, False)):
        for _ in range(2):
            x = _scales(b, x, outputs)
        if shrinks:
            x = b.conv(x, outputs)
            x = b.node("AveragePool", x, channels=outputs, kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("GlobalAveragePool", b.conv(x, 128), channels=128)
    return b.model(b.dense(b.node("Flatten", x, channels=128), 512))


def _scales(b: Builder, x: str, outputs: int) -> str:
    """One to four depthwise convolutions behind each other, their gated sum, and the input beside them."""
    inner = outputs // 4
    first, total = b.conv(x, inner), ""
    for depth in range(1, 5):
        y = first
        for _ in range(depth):
            y = b.conv(b.conv(y, inner, act=""), inner, 3, groups=inner)
        gate = b.conv(b.node("GlobalAveragePool", y, channels=inner), max(inner // 16, 1))
        gate = b.node("Sigmoid", b.conv(gate, inner, act=""), channels=inner)
        y = b.node("Mul", y, gate, channels=inner)
        total = b.node("Add", total, y, channels=inner) if total else y
    beside = x if b.channels[x] == outputs else b.conv(x, outputs, act="")
    return b.node("Relu", b.node("Add", b.conv(total, outputs, act=""), beside, channels=outputs), channels=outputs)


def pictures(model: onnx.ModelProto, count: int, seed: int) -> np.ndarray:
    """[count, *shape] in -1 to 1: noise that is the stronger the slower it changes, as in photographs."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    random = np.random.RandomState(seed)
    slow, fast = np.fft.fftfreq(shape[2])[:, None], np.fft.rfftfreq(shape[3])
    strength = 1.0 / np.maximum(np.hypot(slow, fast), 1.0 / max(shape))
    noise = random.randn(count, *shape[:2], *strength.shape, 2) @ np.array([1.0, 1j])
    images = np.fft.irfft2(noise * strength, shape[2:])
    return (images / np.abs(images).max(axis=(2, 3, 4), keepdims=True)).astype(np.float32)


LARGE: Dict[str, Callable[[], onnx.ModelProto]] = {"osnet": osnet, "mobilenet_v2": mobilenet_v2, "yolo11n": yolo11n}
