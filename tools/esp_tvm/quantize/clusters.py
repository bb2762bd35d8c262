"""Groups of nodes that one kernel computes: normalizations written as several nodes, and scale and offset per
channel."""

from __future__ import annotations

from typing import List, Optional, Set, Tuple

import numpy as np
import onnx

_PARTS = frozenset("ReduceMean ReduceSum ReduceL2 Sub Pow Mul Add Sqrt Div Reciprocal Max Clip Expand".split())
_LARGEST = 24  # nodes


def normalization(grouper, index: int) -> Optional[Tuple[List[int], str]]:
    """(nodes, the one tensor they depend on) of the smallest normalization that ends in node `index`."""
    nodes, shapes = grouper.nodes, grouper.facts.shapes
    cluster: Set[int] = {index}
    if not _is_part(grouper, index):
        return None
    while len(cluster) <= _LARGEST:
        border = _border(grouper, cluster)
        if len(border) == 1 and _is_normalization(grouper, cluster):
            source = next(iter(border))
            centered = _centered(grouper, source)
            if centered is not None:
                cluster, source = cluster | centered[0], centered[1]
            closed = grouper.is_closed(cluster, index)
            same = shapes.get(source) == shapes.get(nodes[index].output[0])
            return (sorted(cluster), source) if closed and same and source in grouper.floats else None
        makers = [grouper.producer(name) for name in border]
        grown = [maker for maker in makers if maker is not None and _is_part(grouper, maker)]
        if not grown:
            return None
        cluster.add(max(grown))
    return None


def _is_part(grouper, index: int) -> bool:
    node = grouper.nodes[index]
    return node.op_type in _PARTS and index not in grouper.taken and node.output[0] in grouper.floats


def _border(grouper, cluster: Set[int]) -> Set[str]:
    nodes = [grouper.nodes[i] for i in cluster]
    return {name for node in nodes for name in grouper.activations(node)} - {node.output[0] for node in nodes}


def _is_normalization(grouper, cluster: Set[int]) -> bool:
    """Something divided by the root of a sum of squares."""
    nodes = [grouper.nodes[i] for i in cluster]
    kinds = [node.op_type for node in nodes]
    powers = [grouper.facts.constants.get(node.input[1]) for node in nodes if node.op_type == "Pow"]
    half = any(p is not None and p.size == 1 and abs(float(p.reshape(()))) == 0.5 for p in powers)
    root = "Sqrt" in kinds or "ReduceL2" in kinds or half
    reduced = any(kind.startswith("Reduce") for kind in kinds)
    return root and reduced and ("Div" in kinds or "Reciprocal" in kinds or half)


def _centered(grouper, source: str) -> Optional[Tuple[Set[int], str]]:
    """({Sub, ReduceMean}, x) where `source` is x - mean(x)."""
    index = grouper.producer(source)
    if index is None or grouper.nodes[index].op_type != "Sub" or not _is_part(grouper, index):
        return None
    x, mean = grouper.nodes[index].input
    other = grouper.producer(mean)
    if other is None or grouper.nodes[other].op_type != "ReduceMean" or not _is_part(grouper, other):
        return None
    return ({index, other}, x) if grouper.nodes[other].input[0] == x else None


def channelwise(grouper, index: int) -> Optional[Tuple[List[int], str]]:
    """([Mul, Add], x) where node `index` multiplies by constants along one axis and the next adds constants."""
    node = grouper.nodes[index]
    if node.op_type != "Mul" or index in grouper.taken:
        return None
    factor = _constant_operand(grouper, node)
    following = grouper.only_user(node.output[0])
    if factor is None or following is None or grouper.nodes[following].op_type != "Add":
        return None
    offset = _constant_operand(grouper, grouper.nodes[following])
    shapes = grouper.facts.shapes
    x = grouper.activations(node)[0]
    along = [size for size in factor.shape if size != 1]
    if offset is None or len(along) != 1 or shapes.get(x) != shapes.get(grouper.nodes[following].output[0]):
        return None
    if factor.ndim > len(shapes[x]) or (offset.size > 1 and offset.shape != factor.shape):
        return None
    return [index, following], x


def _constant_operand(grouper, node: onnx.NodeProto) -> Optional[np.ndarray]:
    constants = [grouper.facts.constants[name] for name in node.input if name in grouper.facts.constants]
    floats = len(constants) == 1 and constants[0].dtype == np.float32 and node.output[0] in grouper.floats
    return constants[0] if floats else None
