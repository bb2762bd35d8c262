"""Refuses attributes and constants that make no sense for their node, by name and before anything is computed.

Indices that count from the end are replaced by ones that count from the start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Sequence

import numpy as np
import onnx
from onnx import AttributeProto, numpy_helper

from .errors import UserError
from .naming import shown
from .onnx_graph import Graph, attribute, constant_value, edited, is_standard

# Sizes and steps: at least 1. Paddings may be 0, and those of a Pad negative.
_POSITIVE = ("blocksize", "dilations", "group", "kernel_shape", "strides")
_NUMBERS = (*_POSITIVE, "output_padding", "output_shape", "pads", "size", "hidden_size")
# The input with the indices, and whether they are positions along one axis ("axis") or rows of coordinates ("rows").
_INDEXED = {
    "Gather": (1, "axis"),
    "GatherElements": (1, "axis"),
    "Scatter": (1, "axis"),
    "ScatterElements": (1, "axis"),
    "GatherND": (1, "rows"),
    "ScatterND": (1, "rows"),
}


def node_label(node: onnx.NodeProto, index: int) -> str:
    """The name of a node in messages."""
    return f"node '{shown(node.name)}' ({shown(node.op_type)})" if node.name else f"node {index} ({node.op_type})"


# Graphs that a node must have.
_BODIES = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",)}


def _check_bodies(model: onnx.ModelProto, path: Path) -> None:
    """Raise a `UserError` for an If, Loop or Scan without what it shall do: onnx's checker comes later."""
    for index, node in enumerate(model.graph.node):
        for name in _BODIES.get(node.op_type, ()) if is_standard(node, node.op_type) else ():
            if not isinstance(attribute(node, name), onnx.GraphProto):
                raise UserError(f"{path}: {node_label(node, index)} has no {name}; export the model again")
        if is_standard(node, *_BODIES) and len(node.input) < (2 if node.op_type == "Loop" else 1):
            raise UserError(f"{path}: {node_label(node, index)} has too few inputs; export the model again")


def check_attributes(model: onnx.ModelProto, path: Path) -> None:
    """Raise a `UserError` for a size or step that is not positive or beyond 32 bits, a NaN, and a missing body."""
    _check_bodies(model, path)
    for index, node in enumerate(model.graph.node):
        for entry in node.attribute:
            what = f"{path}: {node_label(node, index)}: its attribute '{shown(entry.name)}'"
            if entry.type in (AttributeProto.FLOAT, AttributeProto.FLOATS):
                if np.isnan([entry.f, *entry.floats]).any():
                    raise UserError(f"{what} is not a number (NaN); export the model again")
            if entry.name not in _NUMBERS or entry.type not in (AttributeProto.INT, AttributeProto.INTS):
                continue
            values = [entry.i] if entry.type == AttributeProto.INT else list(entry.ints)
            worst = next((v for v in values if abs(v) >= 2**31 or (entry.name in _POSITIVE and v < 1)), None)
            if worst is not None:
                limit = "1 to 2147483647" if entry.name in _POSITIVE else "32 bits"
                raise UserError(f"{what} is {worst}, which is not within {limit}; export the model again")


def constants_of(graph: onnx.GraphProto) -> Dict[str, np.ndarray]:
    """The values of numeric initializers and Constant nodes."""
    found = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type != onnx.TensorProto.STRING}
    for node in graph.node:
        value = constant_value(node)
        if value is not None:
            found[node.output[0]] = value
    return found


def check_constants(model: onnx.ModelProto, path: Path) -> None:
    """Raise a `UserError` for constants that are not numbers, and for bounds of a Clip in the wrong order."""
    constants = constants_of(model.graph)
    for name, array in constants.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise UserError(f"{path}: constant '{shown(name)}' has values that are not numbers (NaN); train it again")
    for index, node in enumerate(model.graph.node):
        if not is_standard(node, "Clip"):
            continue
        low, high = (_bound(node, constants, *which) for which in ((1, "min"), (2, "max")))
        if low is not None and high is not None and low > high:
            raise UserError(
                f"{path}: {node_label(node, index)} has min {low:g} above max {high:g}: all that it gives is "
                f"{high:g}; exchange the two"
            )


def _bound(node: onnx.NodeProto, constants: Dict[str, np.ndarray], place: int, name: str) -> Optional[float]:
    if len(node.input) > place and node.input[place]:
        value = constants.get(node.input[place])
        return None if value is None or not value.size else float(value.reshape(-1)[0])
    return attribute(node, name)


def settle_indices(model: onnx.ModelProto, path: Path) -> None:
    """Constant indices count from the start, in place; one outside its axis is refused."""
    if not any(is_standard(node, *_INDEXED) for node in model.graph.node):
        return
    with edited(model) as graph:
        for index, node in enumerate(graph.nodes):
            if is_standard(node, *_INDEXED):
                _settle(graph, node, node_label(node, index), path)


def _settle(graph: Graph, node: onnx.NodeProto, label: str, path: Path) -> None:
    place, form = _INDEXED[node.op_type]
    name = node.input[place]
    values = graph.constant(name)
    if values is None or not values.size or values.dtype.kind not in "iu":
        return
    sizes = _sizes(node, form, graph.shapes.get(node.input[0]), values)
    if sizes is None:
        return
    outside = (values < -sizes) | (values >= sizes)
    if outside.any():
        where = tuple(np.argwhere(outside)[0])
        size = int(np.broadcast_to(sizes, values.shape)[where])
        raise UserError(
            f"{path}: {label}: the constant '{shown(name)}' has the index {int(values[where])} into an axis of size "
            f"{size} of tensor '{shown(node.input[0])}'; correct it and export the model again"
        )
    if (values < 0).any():
        positive = np.where(values < 0, values + sizes, values)
        inputs = list(node.input)
        inputs[place] = graph.add_constant(f"{name}_from_start", positive, values.dtype)
        graph.set_inputs(node, inputs)


def _sizes(node: onnx.NodeProto, form: str, shape: Optional[Sequence[int]], values: np.ndarray) -> Optional[np.ndarray]:
    """The sizes of the axes that indices refer to, broadcastable to the indices; None if they are not known."""
    if shape is None:
        return None
    if form == "axis":
        axis = attribute(node, "axis", 0)
        return np.array(shape[axis], np.int64) if -len(shape) <= axis < len(shape) else None
    first = attribute(node, "batch_dims", 0)
    wanted = shape[first : first + values.shape[-1]] if values.ndim else ()
    return np.array(wanted, np.int64) if values.ndim and len(wanted) == values.shape[-1] else None
