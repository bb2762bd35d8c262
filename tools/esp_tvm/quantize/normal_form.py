"""The normal form in which quantization reads a float model: each operator written in one way."""

from __future__ import annotations

from typing import List, Optional

import numpy as np
import onnx
from onnx import helper

from ..convert.windows import places_apart
from ..onnx_graph import Graph, attribute, copied_node, drop_attributes, set_attributes, string_attribute
from ..operators.recurrent import GATES
from .rules import RULES, Facts


def pairs_and_slices(graph: Graph) -> None:
    """Sum, Max and Min of many operands as operators on two; Split as slices, each with one output; Gather of adjacent
    places as a slice, which takes values of any width."""
    for node in graph.nodes:
        if node.op_type in ("Sum", "Max", "Min"):
            graph.replace(node, *_pairs(graph, node))
        elif node.op_type == "Split":
            known = node.input[0] in graph.shapes and all(name in graph.shapes for name in node.output if name)
            if known:
                graph.replace(node, *_slices(graph, node))
        elif node.op_type == "Gather":
            graph.replace(node, *_adjacent(graph, node))


def _pairs(graph: Graph, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    kind = {"Sum": "Add"}.get(node.op_type, node.op_type)
    if len(node.input) == 1:
        return [helper.make_node("Identity", node.input, node.output, node.name)]
    left, shapes, nodes = node.input[0], graph.shapes, []
    for right in node.input[1:-1]:
        made = graph.fresh(f"{node.output[0]}_part")
        shapes[made] = tuple(np.broadcast_shapes(shapes.get(left, ()), shapes.get(right, ())))
        nodes.append(graph.make(kind, [left, right], [made], f"{node.name}_part"))
        left = made
    return [*nodes, helper.make_node(kind, [left, node.input[-1]], node.output, node.name)]


def _slices(graph: Graph, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    axis = attribute(node, "axis", 0) % len(graph.shapes[node.input[0]])
    start, nodes = 0, []
    for position, output in enumerate(node.output):
        end = start + graph.shapes[output][axis]
        name = node.name if position == 0 else graph.fresh_node(f"{node.name}_{position}")
        bounds = (("start", start), ("end", end), ("axis", axis))
        inputs = [graph.add_constant(f"{output}_{what}", [value], np.int64) for what, value in bounds]
        nodes.append(helper.make_node("Slice", [node.input[0], *inputs], [output], name))
        start = end
    return nodes


def _adjacent(graph: Graph, node: onnx.NodeProto) -> List[onnx.NodeProto]:
    """A Gather as a Slice where its constant indices follow each other; the axis goes away behind it where it has one
    index without axes."""
    shape, indices = graph.shapes.get(node.input[0]), graph.constant(node.input[1])
    if shape is None or node.input[0] in graph.constants or indices is None or not indices.size or indices.ndim > 1:
        return [node]
    axis = attribute(node, "axis", 0) % len(shape)
    places = np.where(indices < 0, indices + shape[axis], indices).reshape(-1)
    first, end = int(places[0]), int(places[-1]) + 1
    if not 0 <= first < end <= shape[axis] or not np.array_equal(places, np.arange(first, end)):
        return [node]
    output = node.output[0]
    bounds = (("start", first), ("end", end), ("axis", axis))
    inputs = [graph.add_constant(f"{output}_{what}", [value], np.int64) for what, value in bounds]
    if indices.ndim:
        return [helper.make_node("Slice", [node.input[0], *inputs], [output], node.name)]
    part = graph.fresh(f"{output}_with_axis")
    graph.shapes[part] = (*shape[:axis], 1, *shape[axis + 1 :])
    return [
        helper.make_node("Slice", [node.input[0], *inputs], [part], node.name),
        graph.make("Squeeze", [part, inputs[-1]], [output], f"{node.name}_axis"),
    ]


def batch_normalizations(graph: Graph) -> None:
    """BatchNormalization with constant parameters as a product and a sum."""
    for node in graph.nodes:
        parameters = [graph.constant(name) for name in node.input[1:]]
        rank = graph.rank(node.input[0]) or 0 if node.input else 0
        plain = node.op_type == "BatchNormalization" and not attribute(node, "training_mode", 0)
        if not plain or rank < 2 or any(p is None for p in parameters) or len([o for o in node.output if o]) > 1:
            continue
        gamma, beta, mean, variance = (p.astype(np.float64) for p in parameters)
        factor = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        along = (-1, *[1] * (rank - 2))
        names = [
            graph.add_constant(f"{node.output[0]}_{what}", values.astype(np.float32).reshape(along))
            for what, values in (("factor", factor), ("offset", beta - mean * factor))
        ]
        product = graph.fresh(f"{node.output[0]}_scaled")
        graph.shapes[product] = graph.shapes[node.input[0]]
        graph.replace(
            node,
            graph.make("Mul", [node.input[0], names[0]], [product], f"{node.name}_scale"),
            helper.make_node("Add", [product, names[1]], [node.output[0]], node.name),
        )


def one_output_each(graph: Graph) -> None:
    """Recurrent layers with one output each: the last state is a part of all states if both are used, the cell is
    computed by a copy of the layer."""
    for node in graph.nodes:
        if node.op_type not in GATES:
            continue
        outputs = [name if graph.is_used(name) else "" for name in node.output]
        direction = attribute(node, "direction", b"forward")
        last: List[onnx.NodeProto] = []
        # With lengths of its sequences, each has a last step of its own.
        lengths = len(node.input) > 4 and bool(node.input[4])
        if len(outputs) > 1 and outputs[0] and outputs[1] and direction != b"bidirectional" and not lengths:
            last = _last_step(graph, node, *outputs[:2], direction == b"reverse")
            outputs[1] = ""
        while outputs and not outputs[-1]:
            outputs.pop()
        if RULES[node.op_type].check(Facts(graph.constants, graph.shapes), node):
            graph.set_outputs(node, outputs)  # it stays in float, where one layer gives them all
        else:
            _one_each(graph, node, outputs)
        if last:
            graph.insert_after(node, *last)


def places_of_maxima(graph: Graph) -> None:
    """MaxPool with two outputs as two nodes, one for each."""
    for node in graph.nodes:
        if node.op_type == "MaxPool" and any(node.output[1:]):
            places_apart(graph, node)


def _last_step(graph: Graph, node: onnx.NodeProto, every: str, output: str, reverse: bool) -> List[onnx.NodeProto]:
    """`output` as the step that was computed last of `every` [steps, 1, batch, hidden]."""
    steps, nodes = graph.shapes[node.input[0]][0], []
    axes = graph.add_constant(f"{output}_axis", [0], np.int64)
    if steps > 1:
        step = 0 if reverse else steps - 1
        ends = [graph.add_constant(f"{output}_{what}", [step + i], np.int64) for i, what in enumerate(("step", "end"))]
        part = graph.fresh(f"{output}_with_axis")
        graph.shapes[part] = (1, *graph.shapes[every][1:])
        nodes.append(graph.make("Slice", [every, *ends, axes], [part], f"{node.name}_step"))
        every = part
    return [*nodes, graph.make("Squeeze", [every, axes], [output], f"{node.name}_last")]


def _one_each(graph: Graph, node: onnx.NodeProto, outputs: List[str]) -> None:
    """Let a recurrent layer give one of `outputs` (names, "" for none), and copies of it the others."""
    used = [place for place, name in enumerate(outputs) if name]
    for number, place in enumerate(used):
        only = [*[""] * place, outputs[place]]
        if number == 0:
            graph.set_outputs(node, only)
            continue
        copy = copied_node(node)
        copy.name = f"{node.name}_{('all', 'state', 'cell')[place]}"
        copy.output[:] = only
        graph.insert_after(node, copy)


def zeros_as_padding(graph: Graph) -> None:
    """A Pad of zeros around the image of a Conv as padding of that Conv."""
    for node in graph.nodes:
        pad = graph.producer(node.input[0]) if node.op_type == "Conv" else None
        widths = None if pad is None or pad.op_type != "Pad" else _zeros_around(graph, pad)
        if widths is None or string_attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            continue
        own = attribute(node, "pads") or [0] * len(widths)
        drop_attributes(node, "auto_pad")
        set_attributes(node, pads=[a + b for a, b in zip(own, widths)])
        graph.set_input(node, 0, pad.input[0])
        if not graph.is_used(pad.output[0]):
            graph.remove(pad)


def _zeros_around(graph: Graph, pad: onnx.NodeProto) -> Optional[List[int]]:
    """How much a Pad of zeros puts around images [N, C, ...], as a Conv's pads; None if it does anything else."""
    inputs = [*pad.input, "", ""][1:4]
    amounts = graph.constant(inputs[0])
    zero = not inputs[1] or graph.constant(inputs[1]) is not None and not np.any(graph.constant(inputs[1]))
    if amounts is None or not zero or inputs[2] or string_attribute(pad, "mode", "constant") != "constant":
        return None
    before, after = (half.tolist() for half in np.split(amounts, 2))
    if any(before[:2] + after[:2]) or min(before + after) < 0:
        return None
    return before[2:] + after[2:]


def products_as_gemm(graph: Graph) -> None:
    """Every product of a matrix and constant weights as Gemm with weights [O, I] and one bias."""
    facts = Facts(graph.constants, graph.shapes)
    for node in graph.nodes:
        if node.op_type not in ("Gemm", "MatMul") or RULES[node.op_type].check(facts, node):
            continue
        weights, bias = graph.constants[node.input[1]], None
        if weights.dtype != np.float32 or graph.rank(node.input[0]) != 2:
            continue
        output, source = node.output[0], node.input[1]
        if node.op_type == "Gemm":
            if not attribute(node, "transB", 0):
                weights = weights.T
            weights = weights * np.float32(attribute(node, "alpha", 1.0))
            if len(node.input) > 2 and node.input[2]:
                bias = graph.constants[node.input[2]] * np.float32(attribute(node, "beta", 1.0))
        else:
            weights = weights.T
            add = _added_bias(graph, node, len(weights))
            if add is not None:
                bias = graph.constants[next(name for name in add.input if name in graph.constants)]
                output = add.output[0]
                graph.remove(add)
        inputs = [node.input[0], graph.add_constant(f"{source}_transposed", np.ascontiguousarray(weights))]
        if bias is not None:
            flat = np.broadcast_to(bias.reshape(-1), (len(weights),)).astype(np.float32)
            inputs.append(graph.add_constant(f"{output}_bias", flat))
        graph.replace(node, helper.make_node("Gemm", inputs, [output], node.name, transB=1))


def _added_bias(graph: Graph, node: onnx.NodeProto, count: int) -> Optional[onnx.NodeProto]:
    """The Add behind a MatMul that adds one constant, or one for each of `count` outputs."""
    add = graph.only_consumer(node.output[0])
    if add is None or add.op_type != "Add" or list(add.input).count(node.output[0]) != 1:
        return None
    bias = next((graph.constants[name] for name in add.input if name in graph.constants), None)
    if bias is None or bias.size not in (1, count) or bias.shape[-1:] == (0,):
        return None
    return add if graph.shapes.get(add.output[0]) == graph.shapes.get(node.output[0]) else None


__all__ = ["batch_normalizations", "one_output_each", "pairs_and_slices", "places_of_maxima", "products_as_gemm"]
