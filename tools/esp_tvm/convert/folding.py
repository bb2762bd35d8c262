"""Replaces everything that depends only on constants by constants: tools and exporters often leave it in the graph."""

from __future__ import annotations

from typing import List, Set

import numpy as np
import onnx

from ..onnx_graph import Graph, attribute, bodies, is_standard

# Quantized constants must stay in a quantized model; random numbers are not constant.
_KEPT = frozenset("QuantizeLinear DequantizeLinear DynamicQuantizeLinear Constant Bernoulli Multinomial".split())
# Their results may be much larger than their inputs.
_GROWING = frozenset("ConstantOfShape Expand Tile Range Pad Resize Upsample OneHot EyeLike".split())
_MOST_VALUES = 1 << 24


def fold_constants(model: onnx.ModelProto, evaluate, shapes: bool = True) -> None:
    """Compute what depends on constants alone, with `shapes` on known shapes too, in place.

    evaluate(model, names) -> values of tensors of a model, or None if it cannot be run
    """
    graph = Graph(model)
    for node in graph.nodes if shapes else []:
        if is_standard(node, "Shape", "Size") and node.input[0] not in graph.constants:
            _fold_shape(graph, node)
    found = _decided_by_constants(graph)
    inside = {id(node) for node in found}
    # The tensors among these that other nodes read.
    wanted = [
        name
        for node in found
        for name in node.output
        if name and (name in graph.outputs or any(id(user) not in inside for user in graph.consumers(name)))
    ]
    if wanted:
        constants = [node for node in graph.nodes if is_standard(node, "Constant") and id(node) not in inside]
        part = graph.part([*constants, *found], wanted)
        del part.graph.input[:]
        values = evaluate(part, wanted)
        if values is not None:
            results = dict(zip(wanted, values))
            for node in found:
                graph.fold(node, *[results.get(name) for name in node.output])
    if graph.changed:
        graph.write()


def _fold_shape(graph: Graph, node: onnx.NodeProto) -> None:
    shape = graph.shapes.get(node.input[0])
    if shape is None:
        return
    if node.op_type == "Size":
        graph.fold(node, np.array(np.prod(shape, dtype=np.int64), np.int64))
    else:
        graph.fold(node, np.array(shape[attribute(node, "start", 0) : attribute(node, "end", None)], np.int64))


def _decided_by_constants(graph: Graph) -> List[onnx.NodeProto]:
    """The nodes that depend only on constants, in order."""
    known: Set[str] = set(graph.constants)
    found = []
    for node in graph.nodes:
        given = [name for name in node.input if name]
        plain = is_standard(node) and node.op_type not in _KEPT and not bodies(node)
        if not given or not plain or not known.issuperset(given):
            continue
        if node.op_type in _GROWING:
            shape = graph.shapes.get(node.output[0])
            if shape is None or np.prod(shape, dtype=np.float64) > _MOST_VALUES:
                continue
        found.append(node)
        known.update(name for name in node.output if name)
    return found


__all__ = ["fold_constants"]
