"""Replaces an If whose condition depends only on the model's shapes by the branch that is taken.

PyTorch's exporter writes such nodes for decisions that Python makes at run time (a squeeze of an axis that may not be
of size 1, a local response normalization, an optional mask).
"""

from __future__ import annotations

from typing import List, Optional

import numpy as np
import onnx

from ..onnx_graph import Graph, attribute, bodies, is_standard

# Their result depends only on the shape of the input.
_SHAPES_ONLY = ("Shape", "Size")
# The shapes of their results depend on values; for the second list, on those of all inputs except the first.
_OF_ANY_SIZE = frozenset("NonZero Unique Compress NonMaxSuppression Range ConstantOfShape".split())
_SIZED_BY_PARAMETERS = frozenset("Reshape Expand Slice Tile Pad Resize Upsample TopK OneHot Split Squeeze".split())
_RANDOM = frozenset("RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial".split())


def take_branch(graph: Graph, evaluate) -> bool:
    """Replace the first If whose condition no value of an input decides; False where there is none.

    evaluate(model, names) -> values of tensors of a model, or None if it cannot be run
    """
    node = next((node for node in graph.nodes if is_standard(node, "If") and decided(graph, node.input[0])), None)
    values = None if node is None else values_of(graph, [node.input[0]], evaluate)
    if values is None:
        return False
    branch = attribute(node, "then_branch" if np.any(values[0]) else "else_branch")
    outputs = [(value.name, name) for value, name in zip(branch.output, node.output) if name]
    nodes, _ = graph.inlined(branch.node, branch.initializer, {}, outputs)
    graph.replace(node, *nodes)
    return True


def _needed(graph: Graph, name: str) -> Optional[List[onnx.NodeProto]]:
    """The nodes that compute `name`, in order; None if one of them has a body."""
    found = {}
    names = [name]
    while names:
        node = graph.producer(names.pop())
        if node is None or id(node) in found:
            continue
        if bodies(node):
            return None
        found[id(node)] = node
        names += list(node.input)
    return sorted(found.values(), key=graph.place)


def decided(graph: Graph, name: str) -> bool:
    """Whether the tensor `name` does not depend on the value of an input."""
    needed = _needed(graph, name)
    if needed is None:
        return False
    valued = graph.inputs - set(graph.constants)
    for node in needed:
        kind, read = node.op_type, set(node.input)
        sized = kind in _SIZED_BY_PARAMETERS and valued & set(node.input[1:])
        if kind in _RANDOM or sized or (kind in _OF_ANY_SIZE and valued & read):
            return False
        if kind not in _SHAPES_ONLY and valued & read:
            valued |= set(node.output)
    return name not in valued


def values_of(graph: Graph, names: List[str], evaluate) -> Optional[List[np.ndarray]]:
    """The values of tensors that are `decided`; None if they cannot be computed."""
    constants = [graph.constant(name) for name in names]
    if all(value is not None for value in constants):
        return constants
    needed = {id(node): node for name in names for node in _needed(graph, name)}
    return evaluate(graph.part(list(needed.values()), names), names)
