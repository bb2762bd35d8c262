"""Converts opset 7 to 12 to opset 13: with onnx's version converter, and rewrites that correct its errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter

from ..errors import UserError
from ..naming import one_line
from ..onnx_graph import attribute, copied, drop_attributes, edited, opset_of, set_attributes, string_attribute
from ..operators import OPERATORS

# Below 13 QuantizeLinear has no axis, Softmax another meaning, and Squeeze its axes as an attribute.
MIN_OPSET = 13


def at_least_opset_13(model: onnx.ModelProto, path: Path, newest: int) -> onnx.ModelProto:
    """`model` itself, or its equivalent in opset 13; `newest` is for error messages."""
    opset = opset_of(model)
    if opset >= MIN_OPSET:
        return model
    old = copied(model)
    _settle_pad_values(old)
    try:
        # With an old IR the converter expects constants to be declared as inputs.
        old.ir_version = max(old.ir_version, 4)
        converted = onnx.version_converter.convert_version(old, MIN_OPSET)
    except Exception as error:  # The converter is C++: it raises RuntimeError and its own exceptions.
        why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"{path}: opset {opset} is too old and cannot be converted to {MIN_OPSET} ({one_line(why, 200)}); "
            f"export again with opset {MIN_OPSET} to {newest}"
        )
    if opset < 11:
        _resize_as_before(converted)
    _flat_as_before(converted, opset)
    _name_as_before(converted.graph, model.graph)
    return converted


def _settle_pad_values(model: onnx.ModelProto) -> None:
    """The converter wants the value that a Pad may leave out, and keeps one that its mode does not use."""
    for node in model.graph.node:
        if node.op_type != "Pad":
            continue
        if string_attribute(node, "mode", "constant") != "constant":
            drop_attributes(node, "value")
        elif attribute(node, "value") is None:
            set_attributes(node, value=0.0)


def _flat_as_before(model: onnx.ModelProto, opset: int) -> None:
    """Operators that treat all axes from `axis` (default 1) on as one, which the converter ignores: put between two
    reshapes."""
    flat = {name for o in OPERATORS.values() for rule in o.rules if opset < rule.flat_below for name in rule.operators}
    if not flat.intersection(node.op_type for node in model.graph.node):
        return
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {v.name: v.type.tensor_type.shape.dim for v in [*inferred.input, *inferred.value_info]}
    with edited(model) as graph:
        for node in graph.nodes:
            if node.op_type not in flat:
                continue
            x, y = node.input[0], node.output[0]
            flattened, rows = graph.fresh(f"{y}_flattened"), graph.fresh(f"{y}_rows")
            axis, dims = attribute(node, "axis", 1), shapes.get(x, ())
            if dims and all(dim.dim_value > 0 for dim in dims):
                shape = graph.add_constant(f"{y}_shape", [dim.dim_value for dim in dims], np.int64)
            else:
                shape = graph.fresh(f"{y}_shape")
                graph.insert_before(node, graph.make("Shape", [x], [shape], f"{node.name}_shape"))
            graph.insert_before(node, graph.make("Flatten", [x], [flattened], f"{node.name}_flatten", axis=axis))
            set_attributes(node, axis=1)
            graph.set_inputs(node, [flattened])
            graph.set_outputs(node, [rows])
            graph.insert_after(node, graph.make("Reshape", [rows, shape], [y], f"{node.name}_reshape"))


def _name_as_before(graph: onnx.GraphProto, old: onnx.GraphProto) -> None:
    """A node that the converter replaced (Upsample by Resize) keeps the name of the node that computed its output
    before."""
    names = {output: node.name for node in old.node for output in node.output if output}
    for node in graph.node:
        if not node.name and node.output:
            node.name = names.get(node.output[0], "")


def _resize_as_before(model: onnx.ModelProto) -> None:
    """Resize and Upsample had only one rule before opset 11, which is not the default since; the converter ignores
    this.

    ONNX Runtime takes the pixel below, or the one above if an axis becomes smaller.
    """
    with edited(model) as graph:
        for node in graph.nodes:
            if node.op_type != "Resize":
                continue
            factors = graph.constant(node.input[2]) if len(node.input) > 2 else None
            smaller = factors is not None and factors.size and factors.max() <= 1 and factors.min() < 1
            rule = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil" if smaller else "floor"}
            set_attributes(node, **{name: value for name, value in rule.items() if attribute(node, name) is None})
