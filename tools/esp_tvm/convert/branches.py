"""If with a condition that the model's shapes alone decide: the branch that is taken, in its place.

PyTorch's exporter writes such for what Python decides while the model runs (a squeeze of an axis that may not be of
size 1, a local response normalization, an optional mask).
"""

from __future__ import annotations

from typing import Dict, List, Optional, Set

import numpy as np
import onnx
from onnx import AttributeProto, helper

# Of these only the shape of the input counts.
_SHAPES_ONLY = ("Shape", "Size")
# The shape of what these make depends on values, of the last ones on those of all inputs but the first.
_OF_ANY_SIZE = frozenset("NonZero Unique Compress NonMaxSuppression Range ConstantOfShape".split())
_SIZED_BY_PARAMETERS = frozenset("Reshape Expand Slice Tile Pad Resize Upsample TopK OneHot Split Squeeze".split())
_RANDOM = frozenset("RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial".split())


def take_branches(model: onnx.ModelProto, evaluate) -> None:
    """Replace every If whose condition no value of an input decides, in place.

    evaluate(model, names) -> values of tensors of a model, or None where it cannot be run
    """
    while True:
        found = next((i for i, node in enumerate(model.graph.node) if _is_if(node) and _decided(model, node)), None)
        if found is None:
            return
        node = model.graph.node[found]
        condition = _condition(model, node, evaluate)
        if condition is None:
            return
        _inline(model.graph, found, condition)


def _is_if(node: onnx.NodeProto) -> bool:
    return node.op_type == "If" and node.domain in ("", "ai.onnx")


def _needed(graph: onnx.GraphProto, name: str) -> Optional[List[onnx.NodeProto]]:
    """The nodes that `name` is computed by, in order; None where one of them has a body."""
    producers = {output: i for i, node in enumerate(graph.node) for output in node.output}
    places: Set[int] = set()
    names = [name]
    while names:
        place = producers.get(names.pop())
        if place is None or place in places:
            continue
        places.add(place)
        node = graph.node[place]
        if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in node.attribute):
            return None
        names += list(node.input)
    return [graph.node[place] for place in sorted(places)]


def _decided(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Whether no value of an input reaches the condition."""
    needed = _needed(model.graph, node.input[0])
    if needed is None:
        return False
    constants = {tensor.name for tensor in model.graph.initializer}
    valued = {value.name for value in model.graph.input} - constants
    if node.input[0] in valued:
        return False
    for one in needed:
        kind, read = one.op_type, set(one.input)
        sized = kind in _SIZED_BY_PARAMETERS and valued & set(one.input[1:])
        if kind in _RANDOM or sized or (kind in _OF_ANY_SIZE and valued & read):
            return False
        if kind not in _SHAPES_ONLY and valued & read:
            valued |= set(one.output)
    return node.input[0] not in valued


def _condition(model: onnx.ModelProto, node: onnx.NodeProto, evaluate) -> Optional[bool]:
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.name == node.input[0]:
            return bool(np.any(onnx.numpy_helper.to_array(tensor)))
    part = onnx.ModelProto()
    part.CopyFrom(model)
    needed = _needed(graph, node.input[0])
    del part.graph.node[:], part.graph.output[:], part.graph.value_info[:]
    part.graph.node.extend(needed)
    part.graph.output.append(helper.make_tensor_value_info(node.input[0], onnx.TensorProto.BOOL, None))
    values = evaluate(part, [node.input[0]])
    return None if values is None else bool(np.any(values[0]))


def _inline(graph: onnx.GraphProto, place: int, condition: bool) -> None:
    node = graph.node[place]
    wanted = "then_branch" if condition else "else_branch"
    branch = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
    taken = {name for one in graph.node for name in [*one.input, *one.output]} | {t.name for t in graph.initializer}
    made = [o for one in branch.node for o in one.output if o] + [t.name for t in branch.initializer]
    new: Dict[str, str] = {}
    for name in made:
        new[name] = name
        while new[name] in taken:
            new[name] += "_branch"
        taken.add(new[name])
    nodes = []
    for one in branch.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(one)
        _rename(copy, new)
        nodes.append(copy)
    for output, value in zip(node.output, branch.output):
        if output:
            nodes.append(helper.make_node("Identity", [new.get(value.name, value.name)], [output], node.name))
    for tensor in branch.initializer:
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = new[tensor.name]
    rest = [*graph.node[:place], *nodes, *graph.node[place + 1 :]]
    del graph.node[:]
    graph.node.extend(rest)


def _rename(node: onnx.NodeProto, new: Dict[str, str]) -> None:
    """Names of tensors, in the bodies of a node too: no body hides a name of what is around it."""
    node.input[:] = [new.get(name, name) for name in node.input]
    node.output[:] = [new.get(name, name) for name in node.output]
    for attribute in node.attribute:
        for body in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
            for inner in body.node:
                _rename(inner, new)
            for value in body.output:
                value.name = new.get(value.name, value.name)
