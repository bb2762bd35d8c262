"""Rewrites convolutions and pools of volumes [N, C, D, H, W] as those of images, which have kernels.

- Conv: each depth of the result is a convolution of images whose channels are those of the depths in its window; it is
  rounded once, and depths outside are left out, as zeros add nothing
- MaxPool, AveragePool: over rows and columns, every depth a channel, then over depths, a row of all pixels each
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..onnx_graph import Chain, Graph, attribute, is_standard, same_pads, string_attribute

# Depths of a result, each with its own copy of the weights that it uses.
_MOST_DEPTHS = 32


def volumes_as_images(model: onnx.ModelProto) -> None:
    """Rewrite these nodes in place; shapes must be known. Quantized models, groups and what is deeper stay."""
    kinds = {node.op_type for node in model.graph.node}
    if not kinds & {"Conv", "MaxPool", "AveragePool"} or "QuantizeLinear" in kinds:
        return
    graph = Graph(model)
    for node in graph.nodes:
        shape = graph.shapes.get(node.input[0], ()) if is_standard(node, "Conv", "MaxPool", "AveragePool") else ()
        if len(shape) != 5 or min(shape) < 1 or len(node.output) > 1:
            continue
        made = (_convolution if node.op_type == "Conv" else _pool)(graph, node, shape)
        if made:
            graph.replace(node, *made)
    if graph.changed:
        graph.write()
        del model.graph.value_info[:]


def _window(node: onnx.NodeProto, kernel: Sequence[int], sizes: Sequence[int]) -> Optional[Dict[str, List[int]]]:
    """kernel, strides, dilations, before, after and the size of the result, along depth, rows and columns."""
    strides, dilations = (list(attribute(node, name) or [1, 1, 1]) for name in ("strides", "dilations"))
    way, pads = string_attribute(node, "auto_pad", "NOTSET"), list(attribute(node, "pads") or [0] * 6)
    if way.startswith("SAME"):
        before, after = same_pads(sizes, kernel, strides, dilations, way == "SAME_UPPER")
        pads = [*before, *after]
    elif way == "VALID":
        pads = [0] * 6
    if attribute(node, "ceil_mode", 0) or min(pads) < 0:
        return None
    before, after = pads[:3], pads[3:]
    each = zip(sizes, before, after, kernel, strides, dilations)
    result = [(size + b + a - d * (k - 1) - 1) // s + 1 for size, b, a, k, s, d in each]
    if min(result) < 1:
        return None
    names = ("kernel", "strides", "dilations", "before", "after", "result")
    return dict(zip(names, (list(kernel), strides, dilations, before, after, result)))


def _of(window: Dict[str, List[int]], axes: slice, dilated: bool = True) -> Dict[str, List[int]]:
    """The attributes of an operator on images that has the window of these axes."""
    more = {"dilations": window["dilations"][axes]} if dilated else {}
    pads = [*window["before"][axes], *window["after"][axes]]
    return {"kernel_shape": window["kernel"][axes], "strides": window["strides"][axes], "pads": pads, **more}


def _convolution(graph: Graph, node: onnx.NodeProto, shape: Tuple[int, ...]) -> List[onnx.NodeProto]:
    weights, (images, channels, depth, *size) = graph.constant(node.input[1]), shape
    if weights is None or weights.ndim != 5 or attribute(node, "group", 1) != 1:
        return []
    window = _window(node, weights.shape[2:], (depth, *size))
    if window is None or window["result"][0] > _MOST_DEPTHS:
        return []
    chain, parts = Chain(graph, node), []
    for place in range(window["result"][0]):
        taps = np.arange(weights.shape[2])
        at = place * window["strides"][0] - window["before"][0] + taps * window["dilations"][0]
        inside = (at >= 0) & (at < depth)
        if not inside.any():
            return []  # a result of biases alone
        at, taps = at[inside], taps[inside]
        if np.array_equal(at, np.arange(depth)):
            part = node.input[0]
        else:
            bounds = ([at[0]], [at[-1] + 1], [2], [window["dilations"][0]])
            part = chain.add("Slice", node.input[0], *map(chain.integers, bounds))
        part = chain.add("Reshape", part, chain.integers([images, channels * len(at), *size]))
        filters = chain.constant(weights[:, :, taps].reshape(len(weights), -1, *weights.shape[3:]))
        part = chain.add("Conv", part, filters, *node.input[2:3], **_of(window, slice(1, 3)))
        parts.append(chain.add("Unsqueeze", part, chain.integers([2])))
    return chain.end("Concat", *parts, axis=2) if len(parts) > 1 else chain.end("Identity", parts[0])


def _pool(graph: Graph, node: onnx.NodeProto, shape: Tuple[int, ...]) -> List[onnx.NodeProto]:
    images, channels, depth, *size = shape
    window = _window(node, attribute(node, "kernel_shape"), (depth, *size))
    if window is None:
        return []
    is_max = node.op_type == "MaxPool"
    more = {} if is_max else {"count_include_pad": int(attribute(node, "count_include_pad", 0))}
    chain, name, (deep, *rest) = Chain(graph, node), node.input[0], window["result"]
    if rest != size or window["kernel"][1:] != [1, 1]:
        name = chain.add("Reshape", name, chain.integers([images, channels * depth, *size]))
        name = chain.add(node.op_type, name, **_of(window, slice(1, 3), is_max), **more)
    if deep != depth or window["kernel"][0] != 1:
        name = chain.add("Reshape", name, chain.integers([images, channels, depth, int(np.prod(rest))]))
        along = {
            key: [values[0], 1 if key in ("kernel", "strides", "dilations") else 0] for key, values in window.items()
        }
        name = chain.add(node.op_type, name, **_of(along, slice(0, 2), is_max), **more)
    return chain.end("Reshape", name, chain.integers([images, channels, deep, *rest]))


__all__ = ["volumes_as_images"]
