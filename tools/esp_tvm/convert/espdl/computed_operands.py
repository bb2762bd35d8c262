"""The second operand of a MatMul of two computed tensors, before ESP-DL's exporter put it in blocks.

Its kernel reads that operand in the order of weights, so the exporter reorders it at run time: reshapes, transposes,
slices and a concat, merged with what stood there before. Here their effect on the indices of each tensor before them is
computed; the nearest tensor that is the matrix up to a transposition is what ONNX multiplies by.
"""

from __future__ import annotations

import itertools
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from .layouts import unblocked
from .network import Network, Node

_BLOCK = 16
_MOVES = ("Concat", "Reshape", "Slice", "Transpose")
# The exporter's own nodes are fewer; what it merged them with may add some.
_LONGEST = 10
_MOST_VALUES = 1 << 24


def matrix_behind(network: Network, name: str, rows: int) -> Optional[Tuple[str, List[int], Tuple[int, ...]]]:
    """(tensor, permutation of its axes, shape after it) of the matrices [..., rows, columns] that `name` has in blocks.

    None where no tensor before it is these matrices.
    """
    makers = {output: node for node in network.nodes for output in node.outputs}
    candidate = name
    for _ in range(_LONGEST):
        known = network.tensors.get(candidate)
        if (
            known is None
            or not 0 < np.prod(known.shape, dtype=np.float64) < _MOST_VALUES
            or known.dtype != "int8"
            or known.exponent != network.tensors[name].exponent
        ):
            return None
        whole = np.arange(int(np.prod(known.shape))).reshape(known.shape)
        indices = _moved(network, makers, name, candidate, whole, 2 * _LONGEST)
        found = _as_transposed(indices, rows, known.shape) if indices is not None else None
        if found is not None:
            return (candidate, *found)
        node = makers.get(candidate)
        if node is None or node.op_type not in _MOVES:
            return None
        candidate = node.inputs[0]
    return None


def _moved(
    network: Network, makers: Dict[str, Node], name: str, root: str, whole: np.ndarray, depth: int
) -> Optional[np.ndarray]:
    """Where each value of `name` lies in `root`, whose indices are `whole`; None where more than moves is between."""
    if name == root:
        return whole
    node = makers.get(name)
    if node is None or node.op_type not in _MOVES or depth == 0 or len(node.inputs) > _LONGEST:
        return None
    # A concat joins two; below one there is no other.
    sources, below = (node.inputs, 3) if node.op_type == "Concat" else (node.inputs[:1], depth)
    parts = [_moved(network, makers, source, root, whole, min(depth - 1, 2 * below)) for source in sources]
    constants = [network.constants[one].values.reshape(-1) for one in node.inputs[1:] if one in network.constants]
    if any(part is None for part in parts):
        return None
    try:
        return _applied(node, parts, constants)
    except (ValueError, IndexError, KeyError, TypeError):
        return None


def _applied(node: Node, parts: List[np.ndarray], constants: List[np.ndarray]) -> np.ndarray:
    x = parts[0]
    if node.op_type == "Concat":
        return np.concatenate(parts, int(node.attributes["axis"]))
    if node.op_type == "Transpose":
        return x.transpose([axis % x.ndim for axis in node.attributes["perm"]])
    if node.op_type == "Reshape":
        return x.reshape([x.shape[i] if size == 0 else int(size) for i, size in enumerate(constants[0])])
    starts, ends, *rest = constants
    axes = rest[0] if rest else np.arange(len(starts))
    steps = rest[1] if len(rest) > 1 else np.ones(len(starts), np.int64)
    window = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps):
        window[int(axis)] = slice(int(start), int(end), int(step))
    return x[tuple(window)]


def _as_transposed(indices: np.ndarray, rows: int, shape: Sequence[int]) -> Optional[Tuple[List[int], Tuple[int, ...]]]:
    """(permutation, shape after it) by which a tensor of `shape` is the matrices whose blocks hold `indices`."""
    count = int(np.prod(indices.shape[-2:])) if indices.ndim >= 2 else 0
    if not rows or not count or count % rows or indices.size % count or len(shape) > 5:
        return None
    columns = count // rows
    matrices = [
        unblocked(part, (columns, rows, 1, 1), _BLOCK, False).reshape(columns, rows).T
        for part in indices.reshape(-1, count)
    ]
    wanted = np.stack(matrices).reshape(-1)
    whole = np.arange(int(np.prod(shape))).reshape(shape)
    for perm in itertools.permutations(range(len(shape))):
        if whole.size == wanted.size and np.array_equal(whole.transpose(perm).reshape(-1), wanted):
            return list(perm), (*indices.shape[:-2], rows, columns)
    return None


__all__ = ["matrix_behind"]
