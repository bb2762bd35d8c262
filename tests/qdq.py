"""Small quantized models (QDQ, power-of-two scales), written by hand for tests."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class QdqBuilder:
    """Builds a model node by node; methods return tensor names.

    A quantized activation is known by its float name: `quantize` puts QuantizeLinear and DequantizeLinear behind it.
    """

    def __init__(self, seed: int = 0):
        self.random = np.random.RandomState(seed)
        self.nodes: List[onnx.NodeProto] = []
        self.initializers: List[onnx.TensorProto] = []
        self.inputs: List[onnx.ValueInfoProto] = []
        self.outputs: List[onnx.ValueInfoProto] = []
        self.exponents: Dict[str, int] = {}
        # Optional in ONNX; TVM's importer by itself wants them.
        self.bias_zero_points = False
        self._count = 0

    def fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def initializer(self, array: np.ndarray, stem: str = "const") -> str:
        name = self.fresh(stem)
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def scale(self, exponents) -> str:
        return self.initializer(np.asarray(2.0 ** np.asarray(exponents, dtype=np.float64), dtype=np.float32), "scale")

    def input(self, name: str, shape: Sequence[int], exponent: Optional[int] = None, dtype=TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name if exponent is None else self.quantize(name, exponent)

    def output(self, name: str, shape: Sequence[int], dtype=TensorProto.FLOAT) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def node(
        self, op_type: str, inputs: Sequence[str], outputs: Optional[Sequence[str]] = None, name=None, **attributes
    ):
        outputs = list(outputs) if outputs else [self.fresh(op_type.lower())]
        name = self.fresh(op_type) if name is None else name
        self.nodes.append(helper.make_node(op_type, list(inputs), outputs, name, **attributes))
        return outputs[0]

    def quantize(self, tensor: str, exponent: int, output: Optional[str] = None, scale: Optional[float] = None) -> str:
        """QuantizeLinear, DequantizeLinear behind `tensor`."""
        s = self.scale(exponent) if scale is None else self.initializer(np.float32(scale), "scale")
        zero = self.initializer(np.int8(0), "zero")
        q = self.node("QuantizeLinear", [tensor, s, zero])
        result = self.node("DequantizeLinear", [q, s, zero], [output] if output else None)
        self.exponents[result] = exponent
        return result

    def weights(self, shape: Sequence[int], exponents, axis: int = 0) -> str:
        """int8 weights behind a DequantizeLinear; `exponents`: a number, or one per index of `axis`."""
        values = self.random.randint(-128, 128, shape).astype(np.int8)
        zero = np.zeros(np.shape(exponents), np.int8)
        inputs = [self.initializer(values, "w"), self.scale(exponents), self.initializer(zero, "zero")]
        return self.node("DequantizeLinear", inputs, axis=axis)

    def bias(self, size: int, exponents) -> str:
        values = self.random.randint(-3000, 3000, size).astype(np.int32)
        exponents = np.broadcast_to(exponents, (size,))
        inputs = [self.initializer(values, "b"), self.scale(exponents)]
        if self.bias_zero_points:
            inputs.append(self.initializer(np.zeros(size, np.int32), "zero"))
        return self.node("DequantizeLinear", inputs, axis=0)

    def conv(
        self,
        x: str,
        w_shape: Sequence[int],
        e_y: Optional[int],
        e_w=-8,
        relu=False,
        output=None,
        name=None,
        **attributes,
    ):
        """Conv (weights OIHW), relu if asked for, quantized at 2^e_y, or as it is."""
        e_x = self.exponents[x]
        w = self.weights(w_shape, e_w)
        b = self.bias(w_shape[0], e_x + np.asarray(e_w))
        y = self.node("Conv", [x, w, b], name=name, **attributes)
        if relu:
            y = self.node("Relu", [y])
        return y if e_y is None else self.quantize(y, e_y, output)

    def model(self, opset: int = 13) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model


def convolutions_around_a_function() -> onnx.ModelProto:
    """Two convolutions, layouts that change between them, and in the middle a function that TVM computes in float."""
    b = QdqBuilder(3)
    x = b.input("x", [1, 3, 6, 6], -4)
    x = b.conv(x, [6, 3, 3, 3], -3, relu=True, pads=[1, 1, 1, 1], name="first")
    x = b.quantize(b.node("LRN", [x], name="middle", size=3, alpha=0.5), -4)
    b.conv(x, [5, 6, 1, 1], -2, name="last", output="y")
    b.output("y", [1, 5, 6, 6])
    return b.model()
