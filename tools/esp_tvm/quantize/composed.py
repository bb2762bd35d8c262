"""Operators without an integer kernel, computed by several that have one.

- Gemm with a computed bias (PyTorch's addmm), a bias per row, a transposed input: the product, then the sum
- products with a constant matrix on the left (mel filters times a spectrogram): of the transposed operands, so that the
  matrix is the weights of a dense layer
- products of stacks of different depth: the smaller stack is expanded
- CumSum: a product with a triangular matrix of ones
- ReduceLogSum, ReduceLogSumExp: from reductions and tables; ReduceProd of few values: products of slices
- Where of a negated condition (PyTorch's masked_fill(~mask)): of the condition itself

Shapes are known; what is not of float32, or too long, is left as it is.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence

import numpy as np
import onnx

from ..onnx_graph import Chain, Graph, attribute, attributes, edited, inferred_values, is_standard
from .rules import Facts, rule_of

# The triangular matrix of a CumSum has this many rows at most: 64 kB of weights.
LONGEST_SUM = 256
# Values that a ReduceProd multiplies: each product is rounded.
MOST_FACTORS = 16


def compose(model: onnx.ModelProto) -> None:
    """Replace such nodes in place; `model` has fixed shapes and no Constant nodes."""
    if not any(is_standard(node, *_FORMS) for node in model.graph.node):
        return
    floats = {name for name, value in inferred_values(model).items() if _is_float(value)}
    floats.update(tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
    with edited(model) as graph:
        for node in graph.nodes:
            real = is_standard(node) and (node.input[0] in floats or node.op_type == "Where")
            form = _FORMS.get(node.op_type) if real else None
            if form is not None and all(name in graph.shapes for name in (*node.input, *node.output) if name):
                made = form(graph, node)
                if made is not None:
                    graph.replace(node, *made)
        graph.remove_unused()


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


# --- products ---


def _gemm(graph: Graph, node: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    """alpha A B + beta C as a product of which nothing is left to transpose, factors, and a sum."""
    if _has_kernel(graph, node):
        return None
    chain, (a, b) = Chain(graph, node), node.input[:2]
    given = attributes(node)
    alpha, beta = float(given.get("alpha", 1.0)), float(given.get("beta", 1.0))
    c = node.input[2] if len(node.input) > 2 and beta else ""
    if a in graph.constants and b in graph.constants:
        return None
    turned = [bool(given.get("transA", 0)), bool(given.get("transB", 0))]
    a, b = (_turned(chain, name, [1, 0]) if turn else name for name, turn in zip((a, b), turned))
    if b in graph.constants:
        b, alpha = _scaled(chain, b, alpha), 1.0
    elif a in graph.constants:
        a, alpha = _scaled(chain, a, alpha), 1.0
    product = _product(chain, a, b)
    if alpha != 1.0:
        product = chain.add("Mul", product, chain.constant(alpha))
    if not c:
        return chain.end("Identity", product)
    return chain.end("Add", product, _scaled(chain, c, beta))


def _scaled(chain: Chain, name: str, factor: float) -> str:
    if factor == 1.0:
        return name
    values = chain.graph.constant(name)
    if values is None:
        return chain.add("Mul", name, chain.constant(factor))
    return chain.constant(values * np.float32(factor))


def _matmul(graph: Graph, node: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    a, b = node.input
    ranks = [len(graph.shapes[name]) for name in (a, b)]
    both = a in graph.constants and b in graph.constants
    if both or min(ranks) < 2 or _has_kernel(graph, node):
        return None
    chain = Chain(graph, node)
    if a in graph.constants or b in graph.constants:
        # Stacks of one constant matrix are that matrix, where the result has no more axes than the other operand.
        constant = a if a in graph.constants else b
        values = graph.constants[constant]
        if values.ndim > max(ranks[a == constant], 2) or any(size != 1 for size in values.shape[:-2]):
            return _of_one_depth(graph, node)
        matrix = chain.constant(values.reshape(values.shape[-2:])) if values.ndim > 2 else constant
        a, b = (matrix, b) if constant == a else (a, matrix)
        if a in graph.constants or values.ndim > 2:
            return chain.end("Identity", _product(chain, a, b))
        return None
    return _of_one_depth(graph, node)


def _product(chain: Chain, a: str, b: str) -> str:
    """The product of two operands, at most one of them a constant matrix."""
    graph = chain.graph
    matrix = graph.constant(a)
    if matrix is None:
        return chain.add("MatMul", a, b)
    rank = len(graph.shapes[b])
    swapped = [*range(rank - 2), rank - 1, rank - 2]
    product = chain.add("MatMul", _turned(chain, b, swapped), chain.constant(matrix.T))
    return chain.add("Transpose", product, perm=swapped)


def _turned(chain: Chain, name: str, order: Sequence[int]) -> str:
    values = chain.graph.constant(name)
    if values is not None:
        return chain.constant(values.transpose(order))
    made = chain.add("Transpose", name, perm=list(order))
    shape = chain.graph.shapes[name]
    chain.graph.shapes[made] = tuple(shape[axis] for axis in order)
    return made


def _of_one_depth(graph: Graph, node: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    """A product of stacks of matrices with both stacks of the result's size."""
    batch = graph.shapes[node.output[0]][:-2]
    if all(graph.shapes[name][:-2] == batch for name in node.input):
        return None
    chain, operands = Chain(graph, node), []
    for name in node.input:
        shape = (*batch, *graph.shapes[name][-2:])
        values = graph.constant(name)
        if values is not None:
            name = chain.constant(np.broadcast_to(values, shape))
        elif graph.shapes[name] != shape:
            name = chain.add("Expand", name, chain.integers(shape))
        operands.append(name)
    return chain.end("MatMul", *operands)


def _has_kernel(graph: Graph, node: onnx.NodeProto) -> bool:
    return rule_of(Facts(graph.constants, graph.shapes), node)[0] is not None


# --- sums and products along axes ---


def _cumsum(graph: Graph, node: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    axis, shape = graph.constant(node.input[1]), graph.shapes[node.input[0]]
    if axis is None or axis.size != 1 or not shape:
        return None
    last = len(shape) - 1
    along = int(axis.reshape(())) % len(shape)
    size = shape[along]
    if not 1 < size <= LONGEST_SUM:
        return None
    ones = np.triu(np.ones((size, size), np.float32), 1 if attribute(node, "exclusive", 0) else 0)
    ones = ones.T if attribute(node, "reverse", 0) else ones
    chain, name = Chain(graph, node), node.input[0]
    order = [*(other for other in range(len(shape)) if other != along), along]
    if not last:
        rows = chain.add("Reshape", name, chain.integers([1, size]))
        return chain.end("Reshape", chain.add("MatMul", rows, chain.constant(ones)), chain.integers(shape))
    if along == last:
        return chain.end("MatMul", name, chain.constant(ones))
    product = chain.add("MatMul", chain.add("Transpose", name, perm=order), chain.constant(ones))
    return chain.end("Transpose", product, perm=np.argsort(order).tolist())


def _axes(graph: Graph, node: onnx.NodeProto) -> List[int]:
    rank = len(graph.shapes[node.input[0]])
    return sorted(axis % rank for axis in attribute(node, "axes") or range(rank))


def _log_sum(graph: Graph, node: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    if not graph.shapes[node.input[0]]:
        return None
    chain, keep = Chain(graph, node), int(attribute(node, "keepdims", 1))
    return chain.end("Log", chain.add("ReduceSum", node.input[0], chain.integers(_axes(graph, node)), keepdims=keep))


def _log_sum_exp(graph: Graph, node: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    """m + log(sum(exp(x - m))) with the largest x as m, so that the exponentials are at most 1."""
    if not graph.shapes[node.input[0]]:
        return None
    chain, x, axes = Chain(graph, node), node.input[0], _axes(graph, node)
    largest = chain.add("ReduceMax", x, axes=axes, keepdims=1)
    powers = chain.add("Exp", chain.add("Sub", x, largest))
    total = chain.add("Log", chain.add("ReduceSum", powers, chain.integers(axes), keepdims=1))
    if attribute(node, "keepdims", 1):
        return chain.end("Add", total, largest)
    return chain.end("Squeeze", chain.add("Add", total, largest), chain.integers(axes))


def _prod(graph: Graph, node: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    shape, axes = graph.shapes[node.input[0]], _axes(graph, node)
    if not shape or not 1 < int(np.prod([shape[axis] for axis in axes])) <= MOST_FACTORS:
        return None
    chain, name = Chain(graph, node), node.input[0]
    for axis in axes:
        parts = [
            chain.add("Slice", name, *(chain.integers([value]) for value in (start, start + 1, axis)))
            for start in range(shape[axis])
        ]
        # In pairs: a chain of products would round the first value as often as there are others.
        while len(parts) > 1:
            pairs = [chain.add("Mul", one, other) for one, other in zip(parts[::2], parts[1::2])]
            parts = [*pairs, *parts[2 * len(pairs) :]]
        name = parts[0]
    return chain.end("Reshape", name, chain.integers(graph.shapes[node.output[0]]))


# --- choices ---


def _where(graph: Graph, node: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    negation = graph.producer(node.input[0])
    if negation is None or not is_standard(negation, "Not"):
        return None
    return Chain(graph, node).end("Where", negation.input[0], node.input[2], node.input[1])


_Form = Callable[[Graph, onnx.NodeProto], Optional[List[onnx.NodeProto]]]
_FORMS: Dict[str, _Form] = {
    "CumSum": _cumsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceProd": _prod,
    "Where": _where,
}
