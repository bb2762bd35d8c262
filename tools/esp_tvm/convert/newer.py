"""Operators and attributes that came after opset 17, as products, convolutions and moves of opset 17.

Each function takes the lowering (lower.py), which knows shapes and constants and refuses, and a copy of the node.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, List

import numpy as np
import onnx

from ..onnx_graph import Chain, attribute, attributes, string_attribute
from .resize_weights import POSITIONS, multiplied_along, weights_along

if TYPE_CHECKING:
    from .lower import _Lowering

# A matrix or filter that an operator becomes has so many values at most: no chip has room for more.
MOST_VALUES = 1 << 24


def dilated_average_pool(lowering: _Lowering, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    """AveragePool with dilations: a depthwise convolution with ones, times one over the taps that count."""
    given, x = attributes(node), node.input[0]
    shape = lowering.shape_of(node, x)
    kernel = list(given["kernel_shape"])
    if string_attribute(node, "auto_pad", "NOTSET") != "NOTSET" or given.get("ceil_mode") or not all(shape[1:]):
        lowering.refuse(node, "with dilations, and auto_pad, ceil_mode or sizes that are not known")
    window = {name: given[name] for name in ("strides", "pads", "dilations") if name in given}
    chain, channels = Chain(lowering.graph, node), shape[1]
    _check_size(lowering, node, channels, *kernel)
    ones = chain.constant(np.ones((channels, 1, *kernel)))
    total = chain.add("Conv", x, ones, group=channels, **window)
    if given.get("count_include_pad") or not any(given.get("pads", ())):
        return chain.end("Mul", total, chain.constant(1.0 / np.prod(kernel)))
    rank = len(kernel)
    counts = [_taps_inside(shape[2 + axis], kernel[axis], axis, rank, window) for axis in range(rank)]
    inside = np.ones(())
    for one in counts:
        inside = np.multiply.outer(inside, one)
    return chain.end("Mul", total, chain.constant(1.0 / inside[None, None]))


def _check_size(lowering: _Lowering, node: onnx.NodeProto, *sizes: int) -> None:
    if min(sizes) < 1 or math.prod(sizes) > MOST_VALUES:
        lowering.refuse(node, f"of sizes {' x '.join(map(str, sizes))}")


def _taps_inside(size: int, kernel: int, axis: int, rank: int, window: dict) -> np.ndarray:
    """How many taps of each window lie inside the image, along an axis."""
    stride, dilation = (window.get(name, [1] * rank)[axis] for name in ("strides", "dilations"))
    pads = window.get("pads", [0] * 2 * rank)
    before, after = pads[axis], pads[rank + axis]
    count = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
    taps = (np.arange(count) * stride - before)[:, None] + np.arange(kernel) * dilation
    return ((taps >= 0) & (taps < size)).sum(axis=1)


def column_to_image(lowering: _Lowering, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    """Col2Im (torch's Fold): every column is put where its block lies, and what overlaps is added: a transposed
    convolution with a one for each place of a block."""
    image, block = (list(map(int, lowering.constant(node, place).ravel())) for place in (1, 2))
    shape, rank = lowering.shape_of(node, node.input[0]), len(block)
    if rank != 2:
        lowering.refuse(node, "of other than two axes")
    strides, dilations = (list(attribute(node, name) or [1] * rank) for name in ("strides", "dilations"))
    pads = list(attribute(node, "pads") or [0] * 2 * rank)
    room = [image[a] + pads[a] + pads[rank + a] - dilations[a] * (block[a] - 1) - 1 for a in range(rank)]
    blocks = [room[axis] // strides[axis] + 1 for axis in range(rank)]
    taps = int(np.prod(block))
    if not shape[1]:
        lowering.refuse(node, "of a number of channels that is not known")
    if min(room) < 0 or shape[2] not in (0, np.prod(blocks)) or shape[1] % taps:
        lowering.refuse_damaged(node, f"its columns {shape} are not blocks of {block} of an image of {image}")
    channels, chain = shape[1] // taps, Chain(lowering.graph, node)
    _check_size(lowering, node, channels, taps, taps)
    places = np.tile(np.eye(taps).reshape(taps, 1, *block), (channels, 1, 1, 1))
    columns = chain.add("Reshape", node.input[0], chain.integers([0, shape[1], *blocks]))
    window = {"strides": strides, "dilations": dilations, "pads": pads, "kernel_shape": block, "group": channels}
    left = [room[axis] % strides[axis] for axis in range(rank)]
    return chain.end("ConvTranspose", columns, chain.constant(places), output_padding=left, **window)


def scattered_extremes(lowering: _Lowering, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    """ScatterND or ScatterElements with max or min, of places that are named once: what is there is read, compared, and
    put back."""
    kind = string_attribute(node, "reduction", "none")
    if kind not in ("max", "min"):
        return [node]
    data, places, updates = node.input[:3]
    indices, shape = lowering.constant(node, 1), lowering.shape_of(node, data)
    chain, given = Chain(lowering.graph, node), {}
    if node.op_type == "ScatterND":
        depth = indices.shape[-1]
        counted = np.where(indices < 0, indices + np.array(shape[:depth]), indices).reshape(-1, depth)
        read = chain.add("GatherND", data, places)
    else:
        axis = attribute(node, "axis", 0) % len(shape)
        given["axis"] = axis
        counted = np.stack([where.ravel() for where in np.indices(indices.shape)], axis=-1)
        counted[:, axis] = np.where(indices < 0, indices + shape[axis], indices).ravel()
        read = chain.add("GatherElements", data, places, **given)
    if len(np.unique(counted, axis=0)) < len(counted) or 0 in shape:
        lowering.refuse(node, f"with reduction='{kind}' of a place that is named more than once")
    chosen = chain.add(kind.capitalize(), read, updates)
    return chain.end(node.op_type, data, places, chosen, **given)


def rotary_embedding(lowering: _Lowering, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    """Pairs of columns of each head turned by the angles whose cosines and sines are given."""
    x, cosines, sines = node.input[:3]
    shape, chain = lowering.shape_of(node, x), Chain(lowering.graph, node)
    flat = len(shape) == 3
    heads = attribute(node, "num_heads", 0) if flat else shape[1]
    if heads < 1 or not shape[-1] or flat and shape[-1] % heads:
        lowering.refuse(node, "with heads or sizes that are not known or do not go into each other")
    width = shape[-1] // heads if flat else shape[-1]
    turned = attribute(node, "rotary_embedding_dim", 0) or width
    if flat:
        x = chain.add("Reshape", x, chain.integers([0, 0, heads, width]))
        x = chain.add("Transpose", x, perm=[0, 2, 1, 3])
    angles = []
    for name in (cosines, sines):
        if len(node.input) > 3 and node.input[3]:
            name = chain.add("Gather", name, node.input[3], axis=0)
        # [batch, 1, steps, pairs]: the same for all heads.
        angles.append(chain.add("Unsqueeze", name, chain.integers([1])))

    def columns(start: int, end: int, step: int = 1) -> str:
        return chain.add("Slice", x, *map(chain.integers, ([start], [end], [3], [step])))

    interleaved = bool(attribute(node, "interleaved", 0))
    if interleaved:
        pair = columns(0, turned, 2), columns(1, turned, 2)
    else:
        pair = columns(0, turned // 2), columns(turned // 2, turned)
    products = [[chain.add("Mul", part, angle) for angle in angles] for part in pair]
    real = chain.add("Sub", products[0][0], products[1][1])
    imaginary = chain.add("Add", products[0][1], products[1][0])
    if interleaved:
        ends = [chain.add("Unsqueeze", part, chain.integers([4])) for part in (real, imaginary)]
        made = chain.add("Reshape", chain.add("Concat", *ends, axis=4), chain.integers([0, 0, 0, turned]))
    else:
        made = chain.add("Concat", real, imaginary, axis=3)
    if turned < width:
        made = chain.add("Concat", made, columns(turned, width), axis=3)
    if not flat:
        return chain.end("Identity", made)
    made = chain.add("Transpose", made, perm=[0, 2, 1, 3])
    return chain.end("Reshape", made, chain.integers([0, 0, heads * width]))


def antialiased_resize(lowering: _Lowering, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    """Resize with antialias: along each axis that shrinks the product with the matrix of the stretched filter."""
    shape, mode = lowering.shape_of(node, node.input[0]), string_attribute(node, "mode", "nearest")
    place = string_attribute(node, "coordinate_transformation_mode", "half_pixel")
    rank = len(shape)
    axes = lowering.axes_of(node, attribute(node, "axes") or range(rank), rank)
    scales, sizes = lowering.constant(node, 2), lowering.constant(node, 3)
    if not all(shape[axis] for axis in axes) or place not in POSITIONS or mode not in ("linear", "cubic"):
        lowering.refuse(node, "with antialias, and a mode or sizes that are not known")
    if sizes is not None and sizes.size:
        outputs = [int(size) for size in sizes.ravel()]
        factors = [size / shape[axis] for axis, size in zip(axes, outputs)]
    else:
        factors = [float(scale) for scale in scales.ravel()]
        outputs = [int(np.floor(shape[axis] * scale)) for axis, scale in zip(axes, factors)]
    chain, name = Chain(lowering.graph, node), node.input[0]
    for axis, size, scale in zip(axes, outputs, factors):
        if size == shape[axis] and scale == 1.0:
            continue
        _check_size(lowering, node, size, shape[axis])
        options = (mode, place, float(attribute(node, "cubic_coeff_a", -0.75)))
        excludes = bool(attribute(node, "exclude_outside", 0))
        matrix = weights_along(shape[axis], size, scale, options, excludes, stretch=min(scale, 1.0))
        name = multiplied_along(chain, name, axis, rank, matrix)
    return chain.end("Identity", name)


__all__ = ["antialiased_resize", "column_to_image", "dilated_average_pool", "rotary_embedding", "scattered_extremes"]
