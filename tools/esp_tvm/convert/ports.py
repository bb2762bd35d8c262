"""Float inputs and outputs for a model whose own are int8: quantizers of the same scale around it."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# (scale, zero point, dtype name) of a quantized port; None of one that is no quantized one.
Quantization = Optional[Tuple[float, int, str]]


def with_float_ports(model: onnx.ModelProto, inputs: Sequence[Quantization], outputs: Sequence[Quantization]) -> None:
    """Put a QuantizeLinear behind each quantized input and a DequantizeLinear before each such output, in place.

    Their names stay; what read or made them in the graph is renamed.
    """
    graph = model.graph
    first, last = [], []
    for value, quantization in zip(graph.input, inputs):
        if quantization:
            inner = _rename(graph, value.name, "input")
            first.append(_node(graph, "QuantizeLinear", value.name, inner, quantization))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for value, quantization in zip(graph.output, outputs):
        if quantization:
            inner = _rename(graph, value.name, "output")
            last.append(_node(graph, "DequantizeLinear", inner, value.name, quantization))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]


def _rename(graph: onnx.GraphProto, name: str, what: str) -> str:
    """Give a port's tensor another name in all nodes; returns that name."""
    taken = {name for node in graph.node for name in [*node.input, *node.output]}
    inner, count = f"{name}/int8 {what}", 0
    while inner in taken:
        inner, count = f"{name}/int8 {what} {count}", count + 1
    for node in graph.node:
        for names in (node.input, node.output):
            for i, other in enumerate(names):
                if other == name:
                    names[i] = inner
    return inner


def _node(graph: onnx.GraphProto, kind: str, x: str, y: str, quantization: Tuple[float, int, str]) -> onnx.NodeProto:
    scale, zero, dtype = quantization
    # The longer of both names is the new one, and no other tensor has it.
    base = max(x, y, key=len)
    for suffix, value in (("scale", np.float32(scale)), ("zero point", np.array(zero, dtype))):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{base} {suffix}"))
    return helper.make_node(kind, [x, f"{base} scale", f"{base} zero point"], [y], f"{base} {kind}")
