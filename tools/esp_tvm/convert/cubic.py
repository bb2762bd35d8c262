"""Rewrites cubic Resize of images as what has kernels: every value is a sum of products with constant weights.

- by a whole number (2, 3, 4, ...), or to a half, a third, a quarter: a depthwise convolution behind a padding with the
  edges, which is rounded once; what becomes larger makes a channel of every position in a block, for DepthToSpace
- by any other scale: a product with the matrix of the weights along each axis, the one that is reduced most first
"""

from __future__ import annotations

from fractions import Fraction
from typing import List, Optional, Tuple

import numpy as np
import onnx

from ..onnx_graph import Chain, Graph, attribute, is_standard, string_attribute
from .resize_weights import POSITIONS, cubic, multiplied_along, position, weights_along

# Matrices and filters have so many values at most: no chip has room for more.
_MOST_VALUES = 1 << 22
# Beyond, a step skips values that the convolution would begin with.
_FURTHEST = 4


def cubic_as_products(model: onnx.ModelProto) -> None:
    """Rewrite these nodes in place; shapes must be known. Quantized models, and what crops, stay as they are."""
    kinds = {node.op_type for node in model.graph.node}
    if "Resize" not in kinds or "QuantizeLinear" in kinds:
        return
    graph = Graph(model)
    for node in graph.nodes:
        found = _sizes_of(graph, node)
        if found is not None:
            shape, outputs, scales = found
            made = _convolved(graph, node, shape, scales) or _multiplied(graph, node, shape, outputs, scales)
            if made:
                graph.replace(node, *made)
    if graph.changed:
        graph.write()
        del model.graph.value_info[:]


def _sizes_of(graph: Graph, node: onnx.NodeProto) -> Optional[Tuple[List[int], List[int], List[float]]]:
    """([N, C, H, W] of the input, of the result, the scales) of a cubic Resize of the last two axes alone."""
    if not is_standard(node, "Resize") or string_attribute(node, "mode", "nearest") != "cubic":
        return None
    if string_attribute(node, "coordinate_transformation_mode", "half_pixel") not in POSITIONS or len(node.input) < 3:
        return None
    shape = [int(size) for size in graph.shapes.get(node.input[0], ())]
    given = [graph.constant(name) if name else None for name in [*node.input[2:4], ""][:2]]
    scales, sizes = (None if one is None or not one.size else [float(v) for v in one.ravel()] for one in given)
    if len(shape) != 4 or min(shape) < 1 or (scales is None) == (sizes is None):
        return None
    if sizes is not None:
        scales = [size / old for size, old in zip(sizes, shape)]
    if len(scales) != 4 or scales[:2] != [1.0, 1.0] or min(scales) <= 0:
        return None
    outputs = [int(np.floor(np.float32(size) * np.float32(scale))) for size, scale in zip(shape, scales)]
    outputs = [int(size) for size in sizes] if sizes is not None else outputs
    return (shape, outputs, scales) if min(outputs) >= 1 else None


# --- by whole numbers -------------------------------------------------------------------------------------


def _convolved(graph: Graph, node: onnx.NodeProto, shape: List[int], scales: List[float]) -> List[onnx.NodeProto]:
    """A padding, a depthwise convolution and, where it becomes larger, DepthToSpace; nothing for other scales."""
    place = string_attribute(node, "coordinate_transformation_mode", "half_pixel")
    factors = [Fraction(scale).limit_denominator(64) for scale in scales[2:]]
    if any(abs(float(factor) - scale) > 1e-6 for factor, scale in zip(factors, scales[2:])):
        return []
    alone = any(size * factor == 1 for size, factor in zip(shape[2:], factors))
    if place == "align_corners" or (place == "pytorch_half_pixel" and alone) or attribute(node, "exclude_outside", 0):
        return []
    up = factors[0].numerator
    if up > 1 and factors == [Fraction(up)] * 2:
        strides = [1, 1]
    elif all(factor.numerator == 1 and factor.denominator <= _FURTHEST for factor in factors):
        up, strides = 1, [factor.denominator for factor in factors]
        if any(size % stride for size, stride in zip(shape[2:], strides)):
            return []
    else:
        return []
    slope, rows_and_columns = float(attribute(node, "cubic_coeff_a", -0.75)), []
    for stride in strides:
        scale = float(up) if up > 1 else 1 / stride
        rows_and_columns.append(_taps([position(phase, 0, 2, scale, place) for phase in range(up)], slope))
    (first_row, rows), (first_column, columns) = rows_and_columns
    filters = np.einsum("pr,qc->pqrc", rows, columns).reshape(up * up, 1, rows.shape[1], columns.shape[1])
    chain, channels = Chain(graph, node), shape[1]
    before = [-first_row, -first_column]
    after = [max(0, taps.shape[1] - stride - first) for taps, stride, first in zip((rows, columns), strides, before)]
    pads = [0, 0, *before, 0, 0, *after]
    name = chain.add("Pad", node.input[0], chain.integers(pads), mode="edge") if any(pads) else node.input[0]
    filters = chain.constant(np.tile(filters, (channels, 1, 1, 1)))
    if up == 1:
        return chain.end("Conv", name, filters, group=channels, strides=strides)
    name = chain.add("Conv", name, filters, group=channels)
    return chain.end("DepthToSpace", name, blocksize=up, mode="CRD")


def _taps(places: List[float], slope: float) -> Tuple[int, np.ndarray]:
    """(the first input position, the weights [places, positions from it on]) of values at these places."""
    at = np.asarray(places)
    taps = np.arange(min(int(np.floor(at.min())) - 1, 0), int(np.floor(at.max())) + 3)
    weights = cubic(np.abs(taps - at[:, None]), slope)
    used = taps[np.any(weights != 0.0, axis=0)]
    # Windows begin no later than their block does: a padding is never negative.
    kept = (taps >= min(used[0], 0)) & (taps <= used[-1])
    return int(taps[kept][0]), weights[:, kept]


# --- by any scale -----------------------------------------------------------------------------------------


def _multiplied(graph: Graph, node: onnx.NodeProto, shape, outputs, scales) -> List[onnx.NodeProto]:
    """Products with matrices; nothing where one would be too large."""
    place = string_attribute(node, "coordinate_transformation_mode", "half_pixel")
    options = ("cubic", place, float(attribute(node, "cubic_coeff_a", -0.75)))
    excludes, (chain, name) = bool(attribute(node, "exclude_outside", 0)), (Chain(graph, node), node.input[0])
    axes = [axis for axis in (2, 3) if (outputs[axis], scales[axis]) != (shape[axis], 1.0)]
    for axis in sorted(axes, key=lambda axis: scales[axis]):
        if shape[axis] * outputs[axis] > _MOST_VALUES:
            return []
        matrix = weights_along(shape[axis], outputs[axis], scales[axis], options, excludes)
        name = multiplied_along(chain, name, axis, 4, matrix)
    return chain.end("Identity", name)


__all__ = ["cubic_as_products"]
