"""Reading and changing ONNX models: all code that finds, makes, replaces or removes nodes uses this package.

- nodes: single nodes: attributes, the tensors that a node reads (bodies included), copies with other names
- graph: `Graph`, an editor that keeps track of the producer and the consumers of each tensor
- model: whole models: copies, opsets, names, shapes and types by inference
- pads: the pads that auto_pad SAME stands for

Why not a library: onnx.helper makes nodes and onnx.compose joins whole models, neither edits one. onnx_graphsurgeon
reads a graph into its own objects and writes another one (it does not preserve Constant nodes, the order of nodes and
initializers, and bodies); onnxscript's IR needs a newer Python and onnx than TVM 0.17 supports. What remains to be
written is small.
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
from .pads import same_pads

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
    "same_pads",
    "set_attributes",
    "string_attribute",
    "value_names",
    "with_inferred_shapes",
    "with_outputs",
]
