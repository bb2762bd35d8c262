"""Folds factors and offsets after a product into its weights; turns means over the whole plane into pooling.

A batch normalization after a dense layer, a factor or an offset per channel after a convolution: folding them into the
weights saves a rounding, and the passes that work on weights see them.
"""

from __future__ import annotations

from typing import Iterator, Mapping, Optional, Tuple

import numpy as np
import onnx
from onnx import helper

from ..onnx_graph import Graph, attribute
from .rules import RULES, Facts

_FACTORS = ("Mul", "Div", "Add", "Sub")

# What runs with channels last, and what keeps the layout of its first input.
_WINDOWS = frozenset("Conv ConvTranspose MaxPool AveragePool BatchNormalization InstanceNormalization".split())
_ELEMENTWISE = frozenset(
    "Abs Add Clip Concat Div Elu Erf Exp Gelu HardSigmoid HardSwish Identity LeakyRelu Mul PRelu Pow Relu Selu Sigmoid "
    "Softplus Sqrt Sub Tanh".split()
)


class _Folder:
    def __init__(self, graph: Graph):
        self.graph, self.constants, self.shapes = graph, graph.constants, graph.shapes
        self.facts = Facts(graph.constants, graph.shapes)

    def constant(self, base: str, values: np.ndarray) -> str:
        return self.graph.add_constant(base, values, np.float32)

    def used_once(self, name: str) -> bool:
        user = self.graph.only_consumer(name)
        return user is not None and list(user.input).count(name) == 1

    def into(self, node: onnx.NodeProto) -> bool:
        """Put a factor or an offset into the product before it, which then gives the result of `node`."""
        if node.op_type not in _FACTORS or len(node.input) != 2:
            return False
        place = next((i for i, name in enumerate(node.input) if name in self.constants), None)
        if place is None or node.input[1 - place] in self.constants or (node.op_type == "Div" and place == 0):
            return False
        x = node.input[1 - place]
        values = self.constants[node.input[place]]
        maker = self.graph.producer(x)
        shape = self.shapes.get(x)
        free = self.used_once(x) and shape and self.shapes.get(node.output[0]) == shape
        if maker is None or not free or values.dtype != np.float32:
            return False
        if maker.op_type == "Add":
            return self._into_sum(node, maker, values, place)
        if maker.op_type not in ("Conv", "Gemm", "MatMul") or RULES[maker.op_type].check(self.facts, maker):
            return False
        if maker.op_type == "Gemm" and not attribute(maker, "transB", 0):
            return False
        channels = self._per_channel(values, len(shape), 1 if maker.op_type == "Conv" else len(shape) - 1)
        if channels is None or channels.size not in (1, shape[1 if maker.op_type == "Conv" else -1]):
            return False
        if maker.op_type == "MatMul" and node.op_type not in ("Mul", "Div"):
            return False  # Its bias stays a separate Add.
        factor, offset = _affine(node.op_type, channels, place)
        self._scale(maker, factor)
        if maker.op_type != "MatMul":
            self._bias(maker, factor, offset)
        return self._replace(node, maker)

    def _into_sum(self, node: onnx.NodeProto, maker: onnx.NodeProto, values: np.ndarray, place: int) -> bool:
        """The same after the bias of a MatMul."""
        at = next((i for i, name in enumerate(maker.input) if name in self.constants), None)
        product = self.graph.producer(maker.input[1 - at]) if at is not None else None
        if product is None or product.op_type != "MatMul" or RULES["MatMul"].check(self.facts, product):
            return False
        shape = self.shapes.get(product.output[0])
        if not self.used_once(product.output[0]) or shape != self.shapes.get(maker.output[0]):
            return False
        bias = self._per_channel(self.constants[maker.input[at]], len(shape), len(shape) - 1)
        channels = self._per_channel(values, len(shape), len(shape) - 1)
        if bias is None or channels is None:
            return False
        factor, offset = _affine(node.op_type, channels, place)
        self._scale(product, factor)
        both = np.broadcast_to(bias * factor + offset, shape[-1:])
        self.graph.set_input(maker, at, self.constant(maker.input[at], both))
        return self._replace(node, maker)

    @staticmethod
    def _per_channel(values: np.ndarray, rank: int, axis: int) -> Optional[np.ndarray]:
        """float64 [C] or [1] of a constant that varies along `axis` only, otherwise None."""
        shape = (1,) * (rank - values.ndim) + values.shape
        if len(shape) != rank or any(size != 1 for i, size in enumerate(shape) if i != axis):
            return None
        return values.reshape(-1).astype(np.float64)

    def _scale(self, maker: onnx.NodeProto, factor: np.ndarray) -> None:
        if np.all(factor == 1.0):
            return
        weights = self.constants[maker.input[1]].astype(np.float64)
        along = (1, -1) if maker.op_type == "MatMul" else (-1,) + (1,) * (weights.ndim - 1)
        self.graph.set_input(maker, 1, self.constant(maker.input[1], weights * factor.reshape(along)))

    def _bias(self, maker: onnx.NodeProto, factor: np.ndarray, offset: np.ndarray) -> None:
        count = len(self.constants[maker.input[1]])
        bias = np.zeros(count)
        if len(maker.input) > 2 and maker.input[2]:
            bias = np.broadcast_to(self.constants[maker.input[2]].astype(np.float64).reshape(-1), (count,))
        self.graph.set_input(maker, 2, self.constant(f"{maker.output[0]}_bias", bias * factor + offset))

    def _replace(self, node: onnx.NodeProto, maker: onnx.NodeProto) -> bool:
        self.graph.remove(node)
        self.graph.set_outputs(maker, [node.output[0]])
        return True


def _affine(kind: str, values: np.ndarray, place: int) -> Tuple[np.ndarray, np.ndarray]:
    """(factor, offset) that an operator with a constant as its operand `place` applies."""
    one, zero = np.ones(1), np.zeros(1)
    if kind == "Mul":
        return values, zero
    if kind == "Div":
        return 1.0 / values, zero
    if kind == "Add":
        return one, values
    return (-one, values) if place == 0 else (one, -values)


def fold_factors(graph: Graph) -> None:
    """Fold factors and offsets per channel after Conv, Gemm and MatMul into their weights."""
    folder = _Folder(graph)
    for node in graph.nodes:
        folder.into(node)


def means_as_pooling(graph: Graph) -> None:
    """ReduceMean over all positions of [N, C, ...] as GlobalAveragePool, with a Reshape if it drops their axes.

    Those of a normalization stay, since its pattern needs them; so does a mean of the last of three axes unless what it
    reads has channels last on the chip: a pool of channels first is a transpose more.
    """
    squares = {node.output[0] for node in graph.nodes if _is_square(node)}
    subtracted = {tuple(node.input) for node in graph.nodes if node.op_type == "Sub"}
    for node in graph.nodes:
        shape = graph.shapes.get(node.input[0]) if node.op_type == "ReduceMean" else None
        if shape is None or len(shape) not in (3, 4) or not _over_all_places(node, graph.constants, len(shape)):
            continue
        if node.input[0] in squares or (node.input[0], node.output[0]) in subtracted:
            continue
        if len(shape) == 3 and not _has_channels_last(graph, node.input[0]):
            continue
        if attribute(node, "keepdims", 1):
            graph.replace(node, helper.make_node("GlobalAveragePool", node.input[:1], node.output, node.name))
            continue
        pooled = graph.fresh(f"{node.output[0]}_pooled")
        graph.shapes[pooled] = (*shape[:2], *[1] * (len(shape) - 2))
        target = graph.add_constant(f"{node.output[0]}_shape", shape[:2], np.int64)
        graph.replace(
            node,
            helper.make_node("GlobalAveragePool", node.input[:1], [pooled], node.name),
            graph.make("Reshape", [pooled, target], node.output, f"{node.name}_reshape"),
        )


def _has_channels_last(graph: Graph, name: str) -> bool:
    """Whether convolutions or pools make it, as far back as nodes keep their layout: those run with channels last."""
    for node in _makers(graph, name):
        if node.op_type in _WINDOWS:
            return True
        if node.op_type not in _ELEMENTWISE:
            return False
    return False


def _makers(graph: Graph, name: str) -> Iterator[onnx.NodeProto]:
    """What makes it, what makes the first computed input of that, and so on."""
    node = graph.producer(name)
    while node is not None:
        yield node
        node = next((one for one in map(graph.producer, node.input) if one is not None), None)


def _is_square(node: onnx.NodeProto) -> bool:
    return node.op_type == "Pow" or (node.op_type == "Mul" and node.input[0] == node.input[1])


def _over_all_places(node: onnx.NodeProto, constants: Mapping[str, np.ndarray], rank: int) -> bool:
    axes = attribute(node, "axes")
    if axes is None and len(node.input) > 1 and node.input[1] in constants:
        axes = constants[node.input[1]].reshape(-1).tolist()
    return axes is not None and sorted(axis % rank for axis in axes) == list(range(2, rank))
