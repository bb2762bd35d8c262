"""Nodes in a form that TVM's importer and ONNX Runtime read.

- Mean: TVM joins the inputs along a new axis, which is impossible if their shapes differ
- Dropout outside of training: TVM has no code for it
- recurrent layers of layout 1 (batch first): neither computes them
- recurrent layers without hidden_size, which ONNX Runtime asks for; lengths of sequences that are all steps, which
  kernels need not know
- Unsqueeze with several negative axes: TVM inserts one axis after the other, and counts from the end it has by then
- EyeLike of a known shape: a constant; TVM's code for it writes past the end of its output
- SplitToSequence of which single parts are taken (PyTorch's split and unbind of a free axis): neither quantizer nor TVM
  know sequences
- TopK without an order: any order is right, and one that is the same everywhere can be compared
- unused further outputs (indices of a MaxPool, statistics of a normalization): TVM fails on them
"""

from __future__ import annotations

from typing import List, Optional

import numpy as np
import onnx

from ..naming import fresh_name
from ..onnx_graph import (
    Chain,
    Graph,
    attribute,
    copied_node,
    drop_attributes,
    edited,
    inferred_values,
    is_standard,
    set_attributes,
)

_RECURRENT = ("RNN", "GRU", "LSTM")
_TRIMMED = ("MaxPool", "BatchNormalization", "LayerNormalization")
_REWRITTEN = ("Mean", "Dropout", "EyeLike", "SplitToSequence", "TopK", "Unsqueeze", *_RECURRENT, *_TRIMMED)


def plain_nodes(model: onnx.ModelProto) -> None:
    """Rewrite these nodes in place."""
    if not any(is_standard(node, *_REWRITTEN) for node in model.graph.node):
        return
    values = inferred_values(model) if any(is_standard(node, "EyeLike") for node in model.graph.node) else {}
    with edited(model) as graph:
        for node in graph.nodes:
            if is_standard(node, "Mean"):
                graph.replace(node, *_mean(graph, node))
            elif is_standard(node, "Dropout"):
                _drop_dropout(graph, node)
            elif is_standard(node, "EyeLike"):
                _fold_eye(graph, node, values.get(node.output[0]))
            elif is_standard(node, "SplitToSequence"):
                _split_into_tensors(graph, node)
            elif is_standard(node, "Unsqueeze"):
                _count_axes_from_start(graph, node)
            elif is_standard(node, "TopK"):
                drop_attributes(node, "sorted")
            elif is_standard(node, *_RECURRENT):
                _settle_sizes(graph, node)
                if attribute(node, "layout", 0):
                    graph.replace(node, *_steps_first(graph, node))
            elif is_standard(node, *_TRIMMED):
                _drop_unread(graph, node)


def outputs_by_nodes(model: onnx.ModelProto) -> None:
    """Let a node compute each output that is a constant of the file, in place; no node has a body."""
    outputs = {value.name for value in model.graph.output}
    names = {name for node in model.graph.node for name in (*node.input, *node.output)}
    names.update(tensor.name for tensor in model.graph.initializer)
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name in outputs]:
        output, tensor.name = tensor.name, fresh_name(f"{tensor.name}_value", names)
        for node in model.graph.node:
            node.input[:] = [tensor.name if name == output else name for name in node.input]
        model.graph.node.insert(0, onnx.helper.make_node("Identity", [tensor.name], [output], output))


def _mean(graph: Graph, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    chain, count = Chain(graph, node), len(node.input)
    if count == 1:
        return chain.end("Identity", node.input[0])
    total = node.input[0]
    for name in node.input[1:]:
        total = chain.add("Add", total, name)
    return chain.end("Mul", total, chain.constant(np.float32(1 / count)))


def _drop_dropout(graph: Graph, node: onnx.NodeProto) -> None:
    """As what it is outside of training: a copy, and a mask of nothing but true."""
    training = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.False_
    if training is None or np.any(training):
        return
    copy, place, mask = Chain(graph, node).end("Identity", node.input[0]), graph.place(node), None
    if len(node.output) > 1 and graph.is_used(node.output[1]):
        mask = np.ones(graph.shapes[node.input[0]], bool)
    graph.fold(node, None, mask)
    graph.insert(place, *copy)


def _fold_eye(graph: Graph, node: onnx.NodeProto, made: Optional[onnx.ValueInfoProto]) -> None:
    """made: what inference says of its output"""
    shape = graph.shapes.get(node.output[0])
    dtype = made and onnx.mapping.TENSOR_TYPE_TO_NP_TYPE.get(made.type.tensor_type.elem_type)
    if shape is not None and len(shape) == 2 and dtype is not None:
        graph.fold(node, np.eye(*shape, attribute(node, "k", 0), dtype))


def _split_into_tensors(graph: Graph, node: onnx.NodeProto) -> None:
    """As a Split, where a SequenceAt of a constant place is all that reads the sequence."""
    readers, sizes = graph.consumers(node.output[0]), _sizes_of_parts(graph, node)
    places = [graph.constant(one.input[1]) if is_standard(one, "SequenceAt") else None for one in readers]
    if sizes is None or node.output[0] in graph.outputs or any(place is None for place in places):
        return
    numbers = [int(place) for place in places]
    if not all(-len(sizes) <= number < len(sizes) for number in numbers):
        return  # ONNX Runtime tells of it.
    axis = attribute(node, "axis", 0)
    parts = [graph.fresh(f"{node.output[0]}_{number}") for number in range(len(sizes))]
    without_axis = not attribute(node, "keepdims", 1) and not any(node.input[1:])
    for reader, number in zip(readers, numbers):
        chain = Chain(graph, reader)
        more = [chain.integers([axis])] if without_axis else []
        graph.replace(reader, *chain.end("Squeeze" if without_axis else "Identity", parts[number], *more))
    split = graph.add_constant(f"{node.output[0]}_sizes", sizes, np.int64)
    graph.replace(node, graph.make("Split", [node.input[0], split], parts, node.name, axis=axis))


def _sizes_of_parts(graph: Graph, node: onnx.NodeProto) -> Optional[List[int]]:
    """Of a SplitToSequence: 1 each, one size for all (the last may be smaller), or as listed; None if not known."""
    shape = graph.shapes.get(node.input[0])
    if shape is None:
        return None
    size = shape[attribute(node, "axis", 0)]
    if not any(node.input[1:]):
        return [1] * size
    given = graph.constant(node.input[1])
    if given is None or given.min(initial=1) < 1:
        return None
    if given.ndim:
        return given.tolist()
    return [min(int(given), size - first) for first in range(0, size, int(given))]


def _count_axes_from_start(graph: Graph, node: onnx.NodeProto) -> None:
    axes, rank = graph.constant(node.input[1]), graph.rank(node.input[0])
    if axes is not None and rank is not None and np.any(axes < 0):
        counted = sorted(int(axis) % (rank + axes.size) for axis in axes.reshape(-1))
        graph.set_input(node, 1, graph.add_constant(f"{node.input[1]}_from_start", counted, np.int64))


def _settle_sizes(graph: Graph, node: onnx.NodeProto) -> None:
    """Write down the size of the state; forget the lengths of sequences where each has all steps."""
    recurrence, shape = graph.shapes.get(node.input[2]), graph.shapes.get(node.input[0])
    if attribute(node, "hidden_size") is None and recurrence is not None and len(recurrence) == 3:
        set_attributes(node, hidden_size=recurrence[2])
    lengths = graph.constant(node.input[4]) if len(node.input) > 4 and node.input[4] else None
    if lengths is None or shape is None or len(shape) != 3:
        return
    if np.all(lengths == shape[1 if attribute(node, "layout", 0) else 0]):
        graph.set_input(node, 4, "")


def _steps_first(graph: Graph, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    """The layer of layout 0 between transposes: its first axis is the steps, of states the directions."""
    chain, layer = Chain(graph, node), copied_node(node)
    drop_attributes(layer, "layout")
    for place, axes in ((0, [1, 0, 2]), (5, [1, 0, 2]), (6, [1, 0, 2])):
        if len(node.input) > place and node.input[place]:
            layer.input[place] = chain.add("Transpose", node.input[place], perm=axes)
    behind = []
    for place, (name, axes) in enumerate(zip(node.output, ([2, 0, 1, 3], [1, 0, 2], [1, 0, 2]))):
        if name:
            layer.output[place] = graph.fresh(f"{name}_steps_first")
            behind.append(graph.make("Transpose", [layer.output[place]], [name], perm=axes))
    return [*chain.nodes, layer, *behind]


def _drop_unread(graph: Graph, node: onnx.NodeProto) -> None:
    count = len(node.output)
    while count > 1 and not (node.output[count - 1] and graph.is_used(node.output[count - 1])):
        count -= 1
    if count < len(node.output):
        graph.set_outputs(node, node.output[:count])
    if count == 1:
        # How places are counted, which TVM takes for an order of the axes.
        drop_attributes(node, "storage_order")
