"""Outputs that are a copy of an input, of a constant or of another output: nothing there is to be quantized."""

from __future__ import annotations

from typing import Dict, List, Tuple

import onnx

from ..onnx_graph import copied, edited, is_standard, reads
from ..states import states_of

Copies = List[Tuple[int, onnx.ValueInfoProto, List[onnx.NodeProto]]]


def set_aside(model: onnx.ModelProto) -> Tuple[onnx.ModelProto, Copies]:
    """(the model without such outputs, what `put_back` takes: their places, their declarations, the nodes of each).

    Of a model that has no other outputs all stay; so do states that the program keeps.
    """
    states = set(states_of(model).values())
    made_by = {name: node for node in model.graph.node for name in node.output}
    given = {value.name for value in model.graph.input} | {tensor.name for tensor in model.graph.initializer}
    others = {value.name for value in model.graph.output}
    read = [name for node in model.graph.node for name in reads(node)]
    copies: Copies = []
    for place, value in enumerate(model.graph.output):
        if value.name in states:
            continue
        nodes = _copying(value.name, made_by, read)
        source = nodes[0].input[0] if nodes else value.name
        maker = made_by.get(source)
        constant = maker is not None and is_standard(maker, "Constant")
        if source in given or constant or (nodes and source in others):
            copies.append((place, value, [*([maker] if constant else []), *nodes]))
            others.discard(value.name)
    if not copies or len(copies) == len(model.graph.output):
        return model, []
    rest = copied(model)
    kept = [value for value in rest.graph.output if value.name in others]
    del rest.graph.output[:]
    rest.graph.output.extend(kept)
    with edited(rest) as graph:
        graph.remove_unused()
    return rest, copies


def _copying(name: str, made_by: Dict[str, onnx.NodeProto], read: List[str]) -> List[onnx.NodeProto]:
    """The Identity nodes that lead to an output, none of which anything else reads, in order."""
    nodes: List[onnx.NodeProto] = []
    while name in made_by and is_standard(made_by[name], "Identity") and read.count(name) == len(nodes[:1]):
        nodes.insert(0, made_by[name])
        name = made_by[name].input[0]
    return nodes


def put_back(model: onnx.ModelProto, whole: onnx.ModelProto, copies: Copies) -> None:
    """Add the outputs that were set aside of the model `whole` to one that was made of the rest, in place."""
    known = {tensor.name for tensor in model.graph.initializer}
    needed = {name for _, value, nodes in copies for name in [value.name, *(n for node in nodes for n in node.input)]}
    model.graph.initializer.extend(
        tensor for tensor in whole.graph.initializer if tensor.name in needed and tensor.name not in known
    )
    outputs = list(model.graph.output)
    for place, value, nodes in copies:
        model.graph.node.extend(nodes)
        outputs.insert(place, value)
    outputs = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in outputs]
    del model.graph.output[:]
    model.graph.output.extend(outputs)


__all__ = ["put_back", "set_aside"]
