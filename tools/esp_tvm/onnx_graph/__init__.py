"""Reading and changing ONNX models: the one place where nodes are found, made, replaced and removed.

- nodes: single nodes: attributes, what a node reads (bodies included), copies with other names
- graph: `Graph`, an editor that knows who makes and who reads each tensor while nodes come and go
- model: whole models: copies, opsets, names, shapes and types by inference

Why not a library: onnx.helper makes nodes and onnx.compose joins whole models, neither edits one. onnx_graphsurgeon
reads a graph into objects of its own and writes another one (Constant nodes, the order of nodes and of initializers
and bodies do not come out as they went in), onnxscript's IR needs a newer Python and onnx than TVM 0.17 takes. What is
left to write is small.
"""

from .graph import Chain, Graph, edited
from .model import (
    copied,
    drop_unknown_values,
    drop_unused_constants,
    inferred_values,
    keep_opsets,
    known_shapes,
    make_node_names_unique,
    opset_of,
    value_names,
    with_inferred_shapes,
    with_outputs,
)
from .nodes import (
    STANDARD_DOMAINS,
    attribute,
    attributes,
    bodies,
    constant_value,
    copied_node,
    drop_attributes,
    is_standard,
    reads,
    set_attributes,
    string_attribute,
)

__all__ = [
    "STANDARD_DOMAINS",
    "Chain",
    "Graph",
    "attribute",
    "attributes",
    "bodies",
    "constant_value",
    "copied",
    "copied_node",
    "drop_attributes",
    "drop_unknown_values",
    "drop_unused_constants",
    "edited",
    "inferred_values",
    "is_standard",
    "keep_opsets",
    "known_shapes",
    "make_node_names_unique",
    "opset_of",
    "reads",
    "set_attributes",
    "string_attribute",
    "value_names",
    "with_inferred_shapes",
    "with_outputs",
]
