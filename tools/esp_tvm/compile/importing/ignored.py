"""Attributes and inputs that TVM 0.17's ONNX importer ignores: refused by name if they have an effect.

Most errors of the importer show with any input, and the export's comparison with ONNX Runtime finds them. Those listed
here might not show with the few inputs tried: a clip that none of them reaches, a border that none of them crosses.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional

import onnx

from ...errors import UserError
from ...naming import shown
from ...onnx_graph import Graph, attributes, string_attribute
from ..rewriting.recurrent_steps import FUNCTIONS, USUAL_FUNCTIONS, function_names


class Ignored(NamedTuple):
    """operators: the operators that have it; what: its description; says: whether its value in a node differs from what
    TVM assumes."""

    operators: tuple
    what: str
    says: Callable[[onnx.NodeProto, Graph], bool]


def _is(name: str, default: str, *values: str) -> Callable[[onnx.NodeProto, Graph], bool]:
    return lambda node, graph: string_attribute(node, name, default) in values


def _has_odd_functions(node: onnx.NodeProto, graph: Graph) -> bool:
    names = function_names(node.op_type, attributes(node))
    directions = 2 if string_attribute(node, "direction", "forward") == "bidirectional" else 1
    return len(names) != directions * len(USUAL_FUNCTIONS[node.op_type]) or not FUNCTIONS.keys() >= set(names)


IGNORED: List[Ignored] = [
    Ignored(tuple(USUAL_FUNCTIONS), "its activation functions: these names, or so many", _has_odd_functions),
    Ignored(("RoiAlign",), "the mode 'max'", _is("mode", "avg", "max")),
    Ignored(
        ("GridSample",),
        "the mode 'bicubic' with a padding_mode other than 'zeros'",
        lambda node, graph: (
            string_attribute(node, "mode") == "bicubic" and string_attribute(node, "padding_mode", "zeros") != "zeros"
        ),
    ),
]


def refuse_ignored(model: onnx.ModelProto) -> None:
    """Raise a `UserError` for the first node with an attribute or input that TVM would ignore."""
    by_operator: Dict[str, List[Ignored]] = {}
    for entry in IGNORED:
        for operator in entry.operators:
            by_operator.setdefault(operator, []).append(entry)
    graph: Optional[Graph] = None
    for node in model.graph.node:
        for entry in by_operator.get(node.op_type, ()):
            graph = graph or Graph(model)
            if entry.says(node, graph):
                raise UserError(
                    f"node '{shown(node.name)}' ({node.op_type}): TVM does not know {entry.what}, and would compute "
                    "something else; export the model without it"
                )
