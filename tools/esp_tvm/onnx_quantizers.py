"""Where a quantized ONNX model quantizes: at a tensor, or later, behind operators that only move its values."""

from __future__ import annotations

from typing import Dict, FrozenSet, Optional, Tuple

import numpy as np
import onnx

from .onnx_graph import Graph

# What gives the values of its inputs in another order or shape.
_MOVES = frozenset(
    "Concat DepthToSpace Expand Flatten Identity Reshape Slice SpaceToDepth Split Squeeze Tile Transpose "
    "Unsqueeze".split()
)


def quantizers_of(model: onnx.ModelProto) -> Dict[Tuple[str, Optional[int]], str]:
    """{(float tensor, exponent): what a QuantizeLinear of `model` makes of it}; other scales have no exponent here."""
    graph, found = Graph(model), {}
    for node in graph.nodes:
        exponent = _exponent(graph, node)
        if exponent is not None:
            found[node.input[0], exponent] = node.output[0]
    return found


class QuantizedLater:
    """The exponents of int8 to which all that reads a tensor quantizes it, at once or behind moves alone. There the
    program may quantize it before it is moved."""

    def __init__(self, model: onnx.ModelProto):
        self._graph = Graph(model)
        self._known: Dict[str, FrozenSet[int]] = {}

    def exponents(self, tensor: str) -> FrozenSet[int]:
        """Empty where something else reads it, or where it is an output."""
        if tensor not in self._known:
            readers = [] if tensor in self._graph.outputs else self._graph.consumers(tensor)
            found = [self._behind(node) for node in readers]
            self._known[tensor] = frozenset.intersection(*found) if found else frozenset()
        return self._known[tensor]

    def _behind(self, node: onnx.NodeProto) -> FrozenSet[int]:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") and node.op_type not in _MOVES:
            return frozenset()
        own = _exponent(self._graph, node)
        moved = frozenset.intersection(*(self.exponents(name) for name in node.output if name))
        return moved if own is None else moved | {own}


def _exponent(graph: Graph, node: onnx.NodeProto) -> Optional[int]:
    """Of a QuantizeLinear whose scale is a power of two."""
    scale = graph.constant(node.input[1]) if node.op_type == "QuantizeLinear" else None
    if scale is None or scale.size != 1:
        return None
    mantissa, exponent = np.frexp(float(scale.reshape(())))
    return int(exponent) - 1 if mantissa == 0.5 else None
