"""Float inputs and outputs for a model with int8 ports: adds quantizers of the same scale."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np
import onnx
from onnx import TensorProto

from ..onnx_graph import Graph

# (scale, zero point, dtype name) of a quantized port; None for a port that is not quantized.
Quantization = Optional[Tuple[float, int, str]]


def with_float_ports(model: onnx.ModelProto, inputs: Sequence[Quantization], outputs: Sequence[Quantization]) -> None:
    """Add a QuantizeLinear after each quantized input and a DequantizeLinear before each such output, in place.

    The ports keep their names; the tensors inside the graph are renamed.
    """
    graph = Graph(model)
    first, last = [], []
    for value, quantization in zip(model.graph.input, inputs):
        if quantization:
            inner = graph.fresh(f"{value.name}/int8 input")
            graph.rename(value.name, inner)
            first.append(_node(graph, "QuantizeLinear", value.name, inner, quantization))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for value, quantization in zip(model.graph.output, outputs):
        if quantization:
            inner = graph.fresh(f"{value.name}/int8 output")
            graph.rename(value.name, inner)
            last.append(_node(graph, "DequantizeLinear", inner, value.name, quantization))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    graph.insert(0, *first)
    graph.append(*last)
    graph.write()
    del model.graph.value_info[:]


def _node(graph: Graph, kind: str, x: str, y: str, quantization: Tuple[float, int, str]) -> onnx.NodeProto:
    scale, zero, dtype = quantization
    base = max(x, y, key=len)
    parameters = [
        graph.add_constant(f"{base} scale", scale, np.float32),
        graph.add_constant(f"{base} zero point", zero, dtype),
    ]
    return graph.make(kind, [x, *parameters], [y], f"{base} {kind}")
