"""Rewrites Resize with scales that do not give integer sizes (1.5 of 9 is 13) so that sizes alone are enough.

ONNX computes positions from the given scale, kernels and TVM from the ratio of the sizes, which is different then.

- nearest: the selected positions become indices of a Gather along each axis
- align_corners, whatever the mode: positions are those of the sizes, which are given in place of the scales
- linear: the input is extended at its end until the scale gives an integer size, resized, and cut off; if that would be
  much larger than the input, it becomes a product with the matrix of the weights along the axis
"""

from __future__ import annotations

from fractions import Fraction
from typing import List, Optional, Tuple

import numpy as np
import onnx

from ..onnx_graph import Chain, Graph, attributes, is_standard, string_attribute
from .resize_weights import multiplied_along

_MODES = ("half_pixel", "pytorch_half_pixel", "asymmetric")
# At most so many positions are added to an axis, beyond its own size.
_FEW = 16


def whole_scales(model: onnx.ModelProto) -> None:
    """Rewrite these nodes in place; shapes must be known. Cropping ones stay, and cubic ones (cubic.py)."""
    if not any(is_standard(node, "Resize") for node in model.graph.node):
        return
    graph = Graph(model)
    for node in graph.nodes:
        found = _scales_of(graph, node)
        if found is None:
            continue
        axes, scales, shape = found
        if string_attribute(node, "coordinate_transformation_mode") == "align_corners":
            chain = Chain(graph, node)
            sizes = chain.integers(_output_sizes(shape, scales))
            graph.replace(node, *chain.end("Resize", node.input[0], "", "", sizes, **attributes(node)))
        elif string_attribute(node, "mode", "nearest") == "nearest":
            graph.replace(node, *_gathered(graph, node, axes, scales, shape))
        else:
            graph.replace(node, *_interpolated(graph, node, axes, scales, shape))
    if graph.changed:
        graph.write()
        del model.graph.value_info[:]


def _scales_of(graph: Graph, node: onnx.NodeProto) -> Optional[Tuple[List[int], np.ndarray, Tuple[int, ...]]]:
    """(axes that are resized, the scales of all axes, the input's shape) if a scale does not give an integer size."""
    if not is_standard(node, "Resize") or len(node.input) < 3 or not node.input[2]:
        return None
    scales, shape = graph.constant(node.input[2]), graph.shapes.get(node.input[0])
    mode, places = (
        string_attribute(node, "mode", "nearest"),
        string_attribute(node, "coordinate_transformation_mode", "half_pixel"),
    )
    if scales is None or shape is None or scales.size != len(shape) or not np.all(scales > 0):
        return None
    if places != "align_corners" and (mode not in ("nearest", "linear") or places not in _MODES):
        return None
    if all(abs(size * scale - round(size * float(scale))) < 1e-6 * size for size, scale in zip(shape, scales)):
        return None
    outputs = _output_sizes(shape, scales)
    if min(outputs) < 1:
        return None
    # With a single position PyTorch's rule is different.
    if places == "pytorch_half_pixel" and any(o == 1 and s != 1.0 for o, s in zip(outputs, scales)):
        return None
    return [axis for axis, scale in enumerate(scales) if scale != 1.0], scales, shape


def _output_sizes(shape: Tuple[int, ...], scales: np.ndarray) -> List[int]:
    return [int(np.floor(np.float32(size) * np.float32(scale))) for size, scale in zip(shape, scales)]


def _places(node: onnx.NodeProto, count: int, scale: float) -> np.ndarray:
    """The positions of the result's pixels in the input, computed in float32 as ONNX Runtime does."""
    places, scale = np.arange(count, dtype=np.float32), np.float32(scale)
    if string_attribute(node, "coordinate_transformation_mode", "half_pixel") == "asymmetric":
        return places / scale
    return (places + np.float32(0.5)) / scale - np.float32(0.5)


def _gathered(graph: Graph, node: onnx.NodeProto, axes, scales, shape) -> List[onnx.NodeProto]:
    chain, name = Chain(graph, node), node.input[0]
    rounding = string_attribute(node, "nearest_mode", "round_prefer_floor")
    outputs = _output_sizes(shape, scales)
    for axis in axes:
        places = _places(node, outputs[axis], scales[axis])
        index = {
            "round_prefer_floor": np.ceil(places - np.float32(0.5)),
            "round_prefer_ceil": np.floor(places + np.float32(0.5)),
            "floor": np.floor(places),
            "ceil": np.ceil(places),
        }[rounding]
        index = chain.integers(np.clip(index, 0, shape[axis] - 1).astype(np.int64))
        if axis == axes[-1]:
            return chain.end("Gather", name, index, axis=axis)
        name = chain.add("Gather", name, index, axis=axis)
    return chain.end("Identity", name)


def _interpolated(graph: Graph, node: onnx.NodeProto, axes, scales, shape) -> List[onnx.NodeProto]:
    outputs, rank = _output_sizes(shape, scales), len(shape)
    longer = [_whole_size(size, float(scale)) for size, scale in zip(shape, scales)]
    chain, name = Chain(graph, node), node.input[0]
    if all(more is not None for more in longer):
        after = [more - size for more, size in zip(longer, shape)]
        if any(after):
            name = chain.add("Pad", name, chain.integers([*[0] * rank, *after]), mode="edge")
        sizes = [round(more * float(scale)) for more, scale in zip(longer, scales)]
        name = chain.add("Resize", name, "", "", chain.integers(sizes), **attributes(node))
        return chain.end("Slice", name, *map(chain.integers, ([0] * rank, outputs, list(range(rank)))))
    for axis in axes:
        matrix = _weights(node, shape[axis], outputs[axis], float(scales[axis]))
        name = multiplied_along(chain, name, axis, rank, matrix)
    return chain.end("Identity", name)


def _whole_size(size: int, scale: float) -> Optional[int]:
    """The next size for which a scale gives an integer; None if it is far away."""
    ratio = Fraction(scale).limit_denominator(2 * size + _FEW)
    longer = -(-size // ratio.denominator) * ratio.denominator
    near = abs(float(ratio) - scale) * longer < 1e-4
    return longer if near and longer <= 2 * size + _FEW else None


def _weights(node: onnx.NodeProto, size: int, count: int, scale: float) -> np.ndarray:
    """[size, count]: the weight of each input position in each position of the result."""
    places = np.clip(_places(node, count, scale).astype(np.float64), 0, size - 1)
    low = np.floor(places).astype(np.int64)
    matrix = np.zeros((size, count))
    matrix[low, np.arange(count)] += 1 - (places - low)
    matrix[np.minimum(low + 1, size - 1), np.arange(count)] += places - low
    return matrix


__all__ = ["whole_scales"]
