"""Groups of nodes that one kernel computes: normalizations written as several nodes, and scale and offset per
channel."""

from __future__ import annotations

from typing import List, Optional, Set, Tuple

import numpy as np
import onnx

from ..operators.rule import attribute

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
        source = _Reader(grouper, cluster).normalized(nodes[index].output[0]) if len(border) == 1 else None
        if source in border:
            cluster, source = _with_mean(grouper, cluster, index, source)
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


def _with_mean(grouper, cluster: Set[int], index: int, source: str) -> Tuple[Set[int], str]:
    """(the cluster with Sub and ReduceMean, x) where `source` is x - mean(x) over the same axes; as given elsewhere."""
    less = grouper.producer(source)
    if less is None or grouper.nodes[less].op_type != "Sub" or not _is_part(grouper, less):
        return cluster, source
    mean = grouper.producer(grouper.nodes[less].input[1])
    if mean is None or grouper.nodes[mean].op_type != "ReduceMean" or not _is_part(grouper, mean):
        return cluster, source
    whole, x = cluster | {less, mean}, grouper.nodes[less].input[0]
    found = _Reader(grouper, whole).normalized(grouper.nodes[index].output[0])
    return (whole, x) if found == x else (cluster, source)


# --- what a normalization is ------------------------------------------------------------------------------


class _Reader:
    """Reads nodes of `cluster` as the compiler reads a normalization (operators/normalization.py, `recognise`)."""

    def __init__(self, grouper, cluster: Set[int]):
        self.grouper, self.cluster = grouper, cluster

    def node(self, tensor: str, *kinds: str) -> Optional[onnx.NodeProto]:
        """The node that makes `tensor`, if it is one of these in the cluster."""
        index = self.grouper.producer(tensor)
        node = self.grouper.nodes[index] if index in self.cluster else None
        return node if node is not None and node.op_type in kinds else None

    def number(self, tensor: str) -> Optional[float]:
        """The value of a constant of one."""
        values = self.grouper.facts.constants.get(tensor)
        return None if values is None or values.size != 1 else float(values.reshape(()))

    def normalized(self, tensor: str) -> Optional[str]:
        """What is normalized, with constant factors and offsets behind it; None where `tensor` is anything else."""
        node = self.node(tensor, "Add", "Mul")
        for inner, other in self._both_ways(node):
            found = self.normalized(inner) if other in self.grouper.facts.constants else None
            if found is not None:
                return found
        for above, root in self._quotients(tensor):
            found = self._of_squares(above, root)
            if found is not None:
                return found
        return None

    @staticmethod
    def _both_ways(node: Optional[onnx.NodeProto]) -> List[Tuple[str, str]]:
        return [] if node is None else [(node.input[0], node.input[1]), (node.input[1], node.input[0])]

    def _quotients(self, tensor: str) -> List[Tuple[str, onnx.NodeProto]]:
        """(a, what makes the root r) for every way to read `tensor` as a / r."""
        found = [(a, self._inverse_root(b)) for a, b in self._both_ways(self.node(tensor, "Mul"))]
        divided = self.node(tensor, "Div")
        if divided is not None:
            found.append((divided.input[0], self._root(divided.input[1])))
        return [(above, root) for above, root in found if root is not None]

    def _root(self, tensor: str) -> Optional[onnx.NodeProto]:
        """The Sqrt, Pow or ReduceL2 of a divisor, without what keeps that from being 0."""
        node = self.node(tensor, "Max", "Add", "Clip", "Expand")
        while node is not None:
            if node.op_type in ("Max", "Add"):
                inner = [a for a, b in self._both_ways(node) if self._at_least_0(b)]
            else:
                inner = [node.input[0]]
            if not inner:
                return None
            tensor = inner[0]
            node = self.node(tensor, "Max", "Add", "Clip", "Expand")
        power = self.node(tensor, "Pow")
        if power is not None:
            return power if self.number(power.input[1]) == 0.5 else None
        return self.node(tensor, "Sqrt", "ReduceL2")

    def _at_least_0(self, tensor: str) -> bool:
        number = self.number(tensor)
        return number is not None and number >= 0

    def _inverse_root(self, tensor: str) -> Optional[onnx.NodeProto]:
        """The same where `tensor` is 1 over the root."""
        node = self.node(tensor, "Reciprocal", "Div", "Pow")
        if node is None:
            return None
        if node.op_type == "Pow":
            exponent = self.number(node.input[1])
            return node if exponent == -0.5 else self._root(node.input[0]) if exponent == -1.0 else None
        if node.op_type == "Div":
            return self._root(node.input[1]) if self.number(node.input[0]) == 1.0 else None
        return self._root(node.input[0])

    def _of_squares(self, above: str, root: onnx.NodeProto) -> Optional[str]:
        """x where `above` over `root` is a normalization of x."""
        if root.op_type == "ReduceL2":
            return above if self._keeps_axes(root) and self._same(root.input[0], above) else None
        spread = self._without_numbers(root.input[0])
        reduced = self.node(spread, "ReduceMean", "ReduceSum")
        if reduced is None or not self._keeps_axes(reduced):
            return None
        square = self.node(reduced.input[0], "Pow", "Mul")
        if square is None:
            return None
        twice = (
            self.number(square.input[1]) == 2.0
            if square.op_type == "Pow"
            else self._same(square.input[0], square.input[1])
        )
        if not twice or not self._same(square.input[0], above):
            return None
        return (self._centred(above, reduced) if reduced.op_type == "ReduceMean" else None) or above

    def _without_numbers(self, tensor: str) -> str:
        """A sum of squares without its epsilon and the N / (N - 1) of an unbiased variance."""
        while True:
            node = self.node(tensor, "Add", "Max", "Mul", "Div")
            inner = [a for a, b in self._both_ways(node) if self.number(b) is not None]
            if not inner:
                return tensor
            tensor = inner[0]

    def _centred(self, above: str, reduced: onnx.NodeProto) -> Optional[str]:
        """x where `above` is x - mean(x), over the axes of `reduced`."""
        less = self.node(above, "Sub")
        mean = None if less is None else self.node(less.input[1], "ReduceMean")
        if mean is None or not self._keeps_axes(mean) or mean.input[0] != less.input[0]:
            return None
        return less.input[0] if self._axes(mean) == self._axes(reduced) else None

    def _axes(self, node: onnx.NodeProto) -> Optional[List[int]]:
        """The axes of a reduction, from the first one; None: all."""
        given = self.grouper.facts.constants.get(node.input[1]) if len(node.input) > 1 else attribute(node, "axes")
        rank = max(self.grouper.facts.rank(node.input[0]), 1)
        return None if given is None else sorted(int(axis) % rank for axis in np.asarray(given).ravel())

    @staticmethod
    def _keeps_axes(node: onnx.NodeProto) -> bool:
        return bool(attribute(node, "keepdims", 1))

    def _same(self, one: str, other: str) -> bool:
        """Whether two tensors have the same values: x - mean(x) may be written down twice."""
        if one == other:
            return True
        a, b = (self.grouper.producer(name) for name in (one, other))
        if a is None or b is None:
            return False
        a, b = self.grouper.nodes[a], self.grouper.nodes[b]
        alike = a.op_type == b.op_type == "Sub" or (a.op_type == b.op_type == "ReduceMean" and self._alike(a, b))
        return alike and all(self._same(x, y) for x, y in zip(a.input, b.input))

    def _alike(self, one: onnx.NodeProto, other: onnx.NodeProto) -> bool:
        return self._keeps_axes(one) == self._keeps_axes(other) and self._axes(one) == self._axes(other)


def _border(grouper, cluster: Set[int]) -> Set[str]:
    nodes = [grouper.nodes[i] for i in cluster]
    return {name for node in nodes for name in grouper.activations(node)} - {node.output[0] for node in nodes}


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
