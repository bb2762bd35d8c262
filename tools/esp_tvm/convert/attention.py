"""Attention of opset 23, which torch's exporter writes for scaled_dot_product_attention, as products and a Softmax."""

from __future__ import annotations

from typing import Callable, List

import numpy as np
import onnx
from onnx import TensorProto

from ..onnx_graph import Chain, Graph, attribute

# The matrix of a causal mask has so many rows and columns at most.
MOST_STEPS = 4096
# The most negative score that a masked place gets: finite, so that no row can become NaN.
MASKED = -1e9


def spelled_out(
    graph: Graph,
    node: onnx.NodeProto,
    shape_of: Callable[[onnx.NodeProto, str], List[int]],
    is_bool: Callable[[str], bool],
    refuse: Callable[[onnx.NodeProto, str], None],
) -> List[onnx.NodeProto]:
    """softmax(Q K^T scale + mask) V of each head, as standard operators.

    Q, K, V: [batch, heads, steps, width], or [batch, steps, heads * width] with the numbers of heads as attributes;
    several heads of Q may share one of K and V. shape_of: (node, tensor) -> sizes, 0 where unknown; is_bool: whether a
    mask says what to keep; refuse: raises the `UserError` about a node and how it is used
    """
    if any(node.input[4:]) or any(node.output[1:]):
        refuse(node, "with keys of earlier steps, or more than one output")
    if attribute(node, "softcap", 0.0) or attribute(node, "softmax_precision", 1) != TensorProto.FLOAT:
        refuse(node, "with softcap or softmax_precision")
    chain = Chain(graph, node)
    shapes = [shape_of(node, name) for name in node.input[:3]]
    flat = len(shapes[0]) == 3
    heads = [attribute(node, "q_num_heads", 0), *[attribute(node, "kv_num_heads", 0)] * 2]
    heads = heads if flat else [shape[1] for shape in shapes]
    steps = [shape[-2] for shape in shapes[:2]]
    known = min(heads) > 0 and all(shape[-1] for shape in shapes)
    if not known or heads[0] % heads[1] or flat and any(shape[-1] % h for shape, h in zip(shapes, heads)):
        refuse(node, "with heads or sizes that are not known or do not go into each other")
    operands = list(node.input[:3])
    if flat:
        turned = [chain.add("Reshape", name, chain.integers([0, 0, h, -1])) for name, h in zip(operands, heads)]
        operands = [chain.add("Transpose", name, perm=[0, 2, 1, 3]) for name in turned]
    if heads[0] != heads[1]:
        shared = chain.integers(list(np.repeat(np.arange(heads[1]), heads[0] // heads[1])))
        operands[1:] = [chain.add("Gather", name, shared, axis=1) for name in operands[1:]]
    width = shapes[0][-1] // heads[0] if flat else shapes[0][-1]
    scale = attribute(node, "scale") or 1.0 / np.sqrt(width)
    scores = chain.add("MatMul", operands[0], chain.add("Transpose", operands[1], perm=[0, 1, 3, 2]))
    scores = chain.add("Mul", scores, chain.constant(scale))
    if attribute(node, "is_causal", 0):
        if not all(steps) or max(steps) > MOST_STEPS:
            refuse(node, "with is_causal and a number of steps that is not known, or too large")
        scores = chain.add("Add", scores, chain.constant(MASKED * np.triu(np.ones(steps), 1)))
    mask = node.input[3] if len(node.input) > 3 else ""
    if mask:
        sizes = graph.constants[mask].shape if mask in graph.constants else ()
        rank, last = len(sizes), sizes[-1] if sizes else 0
        if is_bool(mask):
            mask = chain.add("Where", mask, chain.constant(0.0), chain.constant(MASKED))
        if 1 < last < steps[1]:
            # Of opset 24: keys that the mask does not reach are masked.
            mask = chain.add(
                "Pad", mask, chain.integers([0] * (2 * rank - 1) + [steps[1] - last]), chain.constant(MASKED)
            )
        scores = chain.add("Add", scores, mask)
    mixed = chain.add("Softmax", scores, axis=-1)
    if not flat:
        return chain.end("MatMul", mixed, operands[2])
    mixed = chain.add("Transpose", chain.add("MatMul", mixed, operands[2]), perm=[0, 2, 1, 3])
    return chain.end("Reshape", mixed, chain.integers([0, 0, -1]))


__all__ = ["MASKED", "MOST_STEPS", "spelled_out"]
