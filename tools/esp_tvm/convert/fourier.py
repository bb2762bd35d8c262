"""DFT and STFT as products with matrices of cosines and sines: a MatMul, and a convolution over the signal.

TVM computes both in float in steps that its own C and its reference round otherwise; a product has an int8 kernel.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

import numpy as np
import onnx

from ..onnx_graph import Chain, Graph, attribute, edited, is_standard

# Signals of so many places at most: the matrix has twice their square.
LONGEST = 1024


def as_products(model: onnx.ModelProto) -> None:
    """Replace every DFT and STFT of known sizes, in place (opset 17); others stay, and are refused later."""
    if not any(is_standard(node, "DFT", "STFT") for node in model.graph.node):
        return
    with edited(model) as graph:
        for node in graph.nodes:
            made = None
            if is_standard(node, "DFT"):
                made = _dft(graph, node)
            elif is_standard(node, "STFT"):
                made = _stft(graph, node)
            if made is not None:
                graph.replace(node, *made)
    del model.graph.value_info[:]


def _matrix(places: int, length: int, bins: int, is_complex: bool, inverse: bool) -> np.ndarray:
    """[places (x 2 where complex), bins x 2]: e^(-2 pi i n k / length) as what it makes of real and imaginary parts."""
    sign = 1.0 if inverse else -1.0
    # Whole turns do not matter, and would cost digits.
    turns = np.outer(np.arange(places), np.arange(bins)) % length / length
    cosine, sine = np.cos(2 * np.pi * turns), sign * np.sin(2 * np.pi * turns)
    of_real = np.stack([cosine, sine], axis=-1)
    rows = np.stack([of_real, np.stack([-sine, cosine], axis=-1)], axis=1) if is_complex else of_real[:, None]
    return rows.reshape(-1, 2 * bins) / (length if inverse else 1)


def _number(graph: Graph, node: onnx.NodeProto, place: int) -> Tuple[Optional[int], bool]:
    """(an input that is a constant number, or None, whether it is known: also where it is left out)"""
    name = node.input[place] if len(node.input) > place else ""
    values = graph.constant(name) if name else None
    return (None if values is None else int(values.reshape(-1)[0])), not name or values is not None


def _dft(graph: Graph, node: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    shape = graph.shapes.get(node.input[0])
    length, known = _number(graph, node, 1)
    if shape is None or not known or shape[-1] not in (1, 2):
        return None
    rank = len(shape)
    axis = attribute(node, "axis", 1) % rank
    size, inverse = shape[axis], bool(attribute(node, "inverse", 0))
    length = size if length is None else length
    bins = length // 2 + 1 if attribute(node, "onesided", 0) else length
    if axis == rank - 1 or length < 1 or max(size, length) > LONGEST:
        return None
    chain, x, used = Chain(graph, node), node.input[0], min(size, length)
    if used < size:
        x = chain.add("Slice", x, *map(chain.integers, ([0], [used], [axis])))
    # The axis in front of that of real and imaginary parts.
    order = [*(i for i in range(rank - 1) if i != axis), axis, rank - 1]
    turned = order != list(range(rank))
    x = chain.add("Transpose", x, perm=order) if turned else x
    front = [shape[i] for i in order[:-2]]
    x = chain.add("Reshape", x, chain.integers([*front, used * shape[-1]]))
    x = chain.add("MatMul", x, chain.constant(_matrix(used, length, bins, shape[-1] == 2, inverse)))
    sizes = chain.integers([*front, bins, 2])
    if not turned:
        return chain.end("Reshape", x, sizes)
    return chain.end("Transpose", chain.add("Reshape", x, sizes), perm=np.argsort(order).tolist())


def _stft(graph: Graph, node: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    shape, (step, known) = graph.shapes.get(node.input[0]), _number(graph, node, 1)
    window_name = node.input[2] if len(node.input) > 2 else ""
    window = graph.constant(window_name) if window_name else None
    length, has_length = _number(graph, node, 3)
    if shape is None or step is None or not known or not has_length or (window_name and window is None):
        return None
    if len(shape) == 3 and shape[2] != 1 or len(shape) not in (2, 3):
        return None
    length = length if window is None else len(window)
    if length is None or not 1 <= length <= min(LONGEST, shape[1]) or step < 1:
        return None
    bins = length // 2 + 1 if attribute(node, "onesided", 1) else length
    frames = (shape[1] - length) // step + 1
    kernels = _matrix(length, length, bins, False, False) * (
        1.0 if window is None else window.astype(np.float64)[:, None]
    )
    chain = Chain(graph, node)
    x = chain.add("Reshape", node.input[0], chain.integers([shape[0], 1, shape[1]]))
    x = chain.add("Conv", x, chain.constant(np.ascontiguousarray(kernels.T[:, None])), strides=[step])
    x = chain.add("Transpose", x, perm=[0, 2, 1])
    return chain.end("Reshape", x, chain.integers([shape[0], frames, bins, 2]))


__all__ = ["as_products"]
