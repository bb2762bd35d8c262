"""Constants of the operators that are only rounded: each to the nearest value, channel by channel."""

from __future__ import annotations

from typing import Dict, List, Optional

import numpy as np
import onnx

from ..operators.recurrent import GATES
from .graph import Layer, Network
from .weights import INT32_MAX, quantized, weight_exponents

# The axis of the output channels in the weights; a stack of matrices has one scale for all.
_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1, **dict.fromkeys(GATES, 1), "MatMul": None, "Mul": None}


def weighted_operands(writer, layer: Layer, nodes: List[onnx.NodeProto]) -> bool:
    """Write the constants of `layer` to `nodes`, copies of its nodes; False if it is not one of these operators."""
    network: Network = writer.network
    exponents: Dict[str, int] = writer.exponents
    main = nodes[0]
    if layer.kind == "cluster":
        # A normalization: its factors stay float here, export chooses an exponent for each.
        return True
    if layer.kind == "channelwise":
        _channelwise(writer, layer, nodes)
        return True
    if layer.kind != "real" or main.op_type not in ("Conv", "ConvTranspose", *GATES, "MatMul", "Gemm"):
        return False
    axis = _CHANNEL_AXIS.get(main.op_type)
    for position in (1, 2) if main.op_type in GATES else (0, 1):
        values = network.constants.get(main.input[position])
        if values is not None:
            chosen = _weights(writer, main, position, values, axis)
    if main.op_type in ("Conv", "ConvTranspose") and len(main.input) > 2 and main.input[2]:
        _bias(writer, main, 2, chosen, exponents[layer.inputs[0]])
    return True


def _weights(writer, node: onnx.NodeProto, position: int, values: np.ndarray, axis: Optional[int]) -> np.ndarray:
    """int8 weights in place of a constant input; returns their exponents along `axis`."""
    rows = np.moveaxis(values, axis, 0) if axis is not None else values.reshape(1, *values.shape)
    exponents = weight_exponents(rows, True)
    whole = quantized(rows.reshape(len(rows), -1), exponents).reshape(rows.shape).astype(np.int8)
    whole = np.moveaxis(whole, 0, axis) if axis is not None else whole[0]
    scale = np.exp2(exponents.astype(np.float64)).astype(np.float32)
    one = axis is None or bool(np.all(exponents == exponents[0]))
    node.input[position] = writer.dequantized_constant(
        node.input[position], np.ascontiguousarray(whole), scale[0] if one else scale, axis or 0
    )
    return exponents


def _bias(writer, node: onnx.NodeProto, position: int, weights: np.ndarray, exponent: int) -> None:
    values = writer.network.constants[node.input[position]].astype(np.float64)
    # The groups of a transposed convolution share their scales.
    exponents = np.tile(weights, values.size // weights.size) + exponent
    whole = np.clip(np.floor(values * np.exp2(-exponents.astype(np.float64)) + 0.5), -INT32_MAX, INT32_MAX)
    scale = np.exp2(exponents.astype(np.float64)).astype(np.float32)
    node.input[position] = writer.dequantized_constant(node.input[position], whole.astype(np.int32), scale, 0)


def _channelwise(writer, layer: Layer, nodes: List[onnx.NodeProto]) -> None:
    constants = writer.network.constants
    place = [next(i for i, name in enumerate(node.input) if name in constants) for node in nodes[:2]]
    factor, offset = (constants[node.input[i]].astype(np.float64) for node, i in zip(nodes, place))
    axis = next((i for i, size in enumerate(factor.shape) if size != 1), 0)
    offset = np.broadcast_to(offset, factor.shape)
    rows = factor.reshape(-1, 1)
    exponents = weight_exponents(rows.astype(np.float32), True)
    # A small factor with a large offset: as coarse as the offset needs to stay within 30 bits.
    size = np.abs(offset).reshape(-1)
    needed = np.ceil(np.log2(np.maximum(size, 1e-30))).astype(np.int64) - 29 - writer.exponents[layer.inputs[0]]
    exponents = np.maximum(exponents, needed)
    whole = quantized(rows, exponents).reshape(factor.shape).astype(np.int8)
    scale = np.exp2(exponents.astype(np.float64)).astype(np.float32)
    nodes[0].input[place[0]] = writer.dequantized_constant(nodes[0].input[place[0]], whole, scale, axis)
    exponents = exponents + writer.exponents[layer.inputs[0]]
    whole = np.floor(offset.reshape(-1) * np.exp2(-exponents.astype(np.float64)) + 0.5).reshape(factor.shape)
    scale = np.exp2(exponents.astype(np.float64)).astype(np.float32)
    nodes[1].input[place[1]] = writer.dequantized_constant(
        nodes[1].input[place[1]], whole.astype(np.int32), scale, axis
    )
