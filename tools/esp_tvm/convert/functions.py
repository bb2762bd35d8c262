"""Inlines functions that a model contains (onnxscript, PyTorch's dynamo exporter)."""

from __future__ import annotations

from typing import Dict, List, Tuple

import onnx

from ..errors import UserError
from ..naming import shown
from ..onnx_graph import STANDARD_DOMAINS, Graph, bodies, copied_node, keep_opsets

_DEPTH = 64
# Of FunctionProto, since IR 9: attributes with default values.
_DEFAULTS_FIELD = 11


def inline_functions(model: onnx.ModelProto, path) -> None:
    """Replace every call of one of the model's own functions, in place; `UserError` if one calls itself."""
    if not model.functions:
        return
    functions: Dict[Tuple[str, str], onnx.FunctionProto] = {}
    for function in model.functions:
        if (function.domain, function.name) in functions:
            raise UserError(
                f"{path}: the function '{shown(function.name)}' of the domain '{shown(function.domain)}' is there "
                "twice; export the model with dynamo=False, or inline it: onnx.inliner.inline_local_functions"
            )
        functions[function.domain, function.name] = function
    graph = Graph(model)
    for _ in range(_DEPTH):
        calls = [node for node in graph.nodes if (node.domain, node.op_type) in functions]
        if not calls:
            break
        for node in calls:
            function = functions[node.domain, node.op_type]
            _check_opsets(model, function, path)
            graph.replace(node, *_body(graph, node, function))
    else:
        raise UserError(f"{path}: its functions call each other without end; export the model again")
    graph.write()
    inner = {node.domain for node in graph.nodes}
    keep_opsets(model, inner)
    # Bodies of control flow may still call them.
    if not any(bodies(node) for node in graph.nodes):
        del model.functions[:]


def _check_opsets(model: onnx.ModelProto, function: onnx.FunctionProto, path) -> None:
    """Check that the nodes have the same meaning in the model as in the function."""
    known = {_plain(entry.domain): entry.version for entry in model.opset_import}
    for entry in function.opset_import:
        version = known.setdefault(_plain(entry.domain), entry.version)
        if version != entry.version and _plain(entry.domain) == "":
            raise UserError(
                f"{path}: the function '{shown(function.name)}' is of opset {entry.version}, the model of opset "
                f"{version}; export the model again, with one opset"
            )


def _plain(domain: str) -> str:
    return "" if domain in STANDARD_DOMAINS else domain


def _defaults(function: onnx.FunctionProto) -> List[onnx.AttributeProto]:
    """Default values of a function's attributes, which the pinned onnx reads as unknown fields."""
    fields = [field for field in function.UnknownFields() if field.field_number == _DEFAULTS_FIELD]
    return [onnx.AttributeProto.FromString(field.data) for field in fields]


def _body(graph: Graph, node: onnx.NodeProto, function: onnx.FunctionProto) -> List[onnx.NodeProto]:
    given = {entry.name: entry for entry in [*_defaults(function), *node.attribute]}
    nodes = [copied_node(inner) for inner in function.node]
    for inner in nodes:
        _fill_attributes(inner, given)
    inputs = dict(zip(function.input, [*node.input, *[""] * len(function.input)]))
    outputs = [(inner, outer) for inner, outer in zip(function.output, node.output) if outer]
    copies, _ = graph.inlined(nodes, [], inputs, outputs)
    if len(copies) == 1 and node.name:
        copies[0].name = node.name
    return copies


def _fill_attributes(node: onnx.NodeProto, given: Dict[str, onnx.AttributeProto]) -> None:
    """Attributes that refer to an attribute of the call get its value, or are omitted if the call does not give it."""
    if any(entry.ref_attr_name for entry in node.attribute):
        filled = []
        for entry in node.attribute:
            value = onnx.AttributeProto()
            if not entry.ref_attr_name:
                value.CopyFrom(entry)
            elif entry.ref_attr_name in given:
                value.CopyFrom(given[entry.ref_attr_name])
                value.name = entry.name
            else:
                continue
            filled.append(value)
        del node.attribute[:]
        node.attribute.extend(filled)
    for body in bodies(node):
        for inner in body.node:
            _fill_attributes(inner, given)


__all__ = ["inline_functions"]
