"""A small vision transformer and a conformer block with weights from a fixed seed, for bench/accuracy.py."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIGITS = Path(__file__).resolve().parent.parent / "examples" / "digits"
Data = Dict[str, np.ndarray]


class _Builder:
    """A float model of tokens [1, tokens, width], node by node; methods return the tensor that they make."""

    def __init__(self, seed: int):
        self.random = np.random.RandomState(seed)
        self.nodes: List[onnx.NodeProto] = []
        self.constants: List[onnx.TensorProto] = []

    def constant(self, array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def normal(self, *shape: int, scale: float) -> str:
        return self.constant((self.random.randn(*shape) * scale).astype(np.float32))

    def node(self, kind: str, *inputs: str, **attributes) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], f"{kind}_{len(self.nodes)}", **attributes))
        return name

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        product = self.node("MatMul", x, self.normal(inputs, outputs, scale=inputs**-0.5))
        return self.node("Add", product, self.normal(outputs, scale=0.1))

    def norm(self, x: str, width: int) -> str:
        gamma = self.constant((1 + 0.2 * self.random.randn(width)).astype(np.float32))
        return self.node("LayerNormalization", x, gamma, self.normal(width, scale=0.1), axis=-1)

    def gelu(self, x: str) -> str:
        error = self.node("Erf", self.node("Mul", x, self.constant(np.float32(0.5**0.5))))
        share = self.node("Mul", self.node("Add", error, self.constant(np.float32(1))), self.constant(np.float32(0.5)))
        return self.node("Mul", x, share)

    def swish(self, x: str) -> str:
        return self.node("Mul", x, self.node("Sigmoid", x))

    def attention(self, x: str, tokens: int, width: int, heads: int) -> str:
        def split(perm: Sequence[int]) -> str:
            parts = self.constant(np.int64([1, tokens, heads, width // heads]))
            return self.node("Transpose", self.node("Reshape", self.dense(x, width, width), parts), perm=perm)

        q, k, v = split([0, 2, 1, 3]), split([0, 2, 3, 1]), split([0, 2, 1, 3])
        scores = self.node("Mul", self.node("MatMul", q, k), self.constant(np.float32((width // heads) ** -0.5)))
        mixed = self.node("MatMul", self.node("Softmax", scores, axis=-1), v)
        mixed = self.node("Transpose", mixed, perm=[0, 2, 1, 3])
        return self.dense(self.node("Reshape", mixed, self.constant(np.int64([1, tokens, width]))), width, width)

    def model(self, shape: Sequence[int], output: str) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [output], ["y"], "end"))
        port = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        outputs = [helper.make_empty_tensor_value_info("y")]
        graph = helper.make_graph(self.nodes, "transformer", [port], outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return model


def vision_transformer() -> Tuple[onnx.ModelProto, Data, Data]:
    """(model, samples to calibrate with, others): patches of digits, two layers of attention and GELU, 10 classes."""
    b, tokens, width = _Builder(1), 16, 32
    x = b.node("Conv", "x", b.normal(width, 1, 2, 2, scale=0.5), b.normal(width, scale=0.1), strides=[2, 2])
    x = b.node("Transpose", b.node("Reshape", x, b.constant(np.int64([1, width, tokens]))), perm=[0, 2, 1])
    x = b.node("Add", x, b.normal(1, tokens, width, scale=0.3))
    for _ in range(2):
        x = b.node("Add", x, b.attention(b.norm(x, width), tokens, width, 2))
        y = b.gelu(b.dense(b.norm(x, width), width, 2 * width))
        x = b.node("Add", x, b.dense(y, 2 * width, width))
    x = b.node("ReduceMean", b.norm(x, width), axes=[1], keepdims=0)
    model = b.model([1, 1, 8, 8], b.dense(x, width, 10))
    return model, {"x": np.load(DIGITS / "calib.npy")}, {"x": np.load(DIGITS / "test.npy")[:200]}


def conformer() -> Tuple[onnx.ModelProto, Data, Data]:
    """(model, samples to calibrate with, others): half a feed-forward layer, attention, a gated depthwise convolution
    over time, another half, and the norm at the end; on smooth random series."""
    b, steps, width = _Builder(2), 32, 32

    def half(x: str) -> str:
        y = b.dense(b.swish(b.dense(b.norm(x, width), width, 2 * width)), 2 * width, width)
        return b.node("Add", x, b.node("Mul", y, b.constant(np.float32(0.5))))

    x = half("x")
    x = b.node("Add", x, b.attention(b.norm(x, width), steps, width, 2))
    y = b.norm(x, width)
    y = b.node("Mul", b.dense(y, width, width), b.node("Sigmoid", b.dense(y, width, width)))
    y = b.node("Transpose", y, perm=[0, 2, 1])
    y = b.node("Conv", y, b.normal(width, 1, 7, scale=0.4), b.normal(width, scale=0.1), group=width, pads=[3, 3])
    y = b.dense(b.node("Transpose", b.swish(y), perm=[0, 2, 1]), width, width)
    model = b.model([1, steps, width], b.norm(half(b.node("Add", x, y)), width))
    noise = b.random.randn(160, steps + 4, width).astype(np.float32)
    series = sum(noise[:, i : i + steps] for i in range(5)) / np.float32(5**0.5)
    return model, {"x": series[:100]}, {"x": series[100:]}
