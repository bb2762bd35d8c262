"""Nodes in a form that TVM's importer reads.

- Mean: TVM joins the inputs along a new axis, which is impossible if their shapes differ
- unused indices of a MaxPool: TVM cannot compute them, and fails on the second output
"""

from __future__ import annotations

from typing import List

import numpy as np
import onnx

from ..onnx_graph import Chain, Graph, edited, is_standard


def plain_nodes(model: onnx.ModelProto) -> None:
    """Rewrite these nodes in place."""
    if not any(is_standard(node, "Mean", "MaxPool") for node in model.graph.node):
        return
    with edited(model) as graph:
        for node in graph.nodes:
            if is_standard(node, "Mean"):
                graph.replace(node, *_mean(graph, node))
            elif is_standard(node, "MaxPool"):
                _drop_unread(graph, node)


def _mean(graph: Graph, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    chain, count = Chain(graph, node), len(node.input)
    if count == 1:
        return chain.end("Identity", node.input[0])
    total = node.input[0]
    for name in node.input[1:]:
        total = chain.add("Add", total, name)
    return chain.end("Mul", total, chain.constant(np.float32(1 / count)))


def _drop_unread(graph: Graph, node: onnx.NodeProto) -> None:
    count = len(node.output)
    while count > 1 and not (node.output[count - 1] and graph.is_used(node.output[count - 1])):
        count -= 1
    if count < len(node.output):
        graph.set_outputs(node, node.output[:count])
