"""Single ONNX nodes: their attributes, the tensors they read, copies of them."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Set

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper

STANDARD_DOMAINS = ("", "ai.onnx")


def is_standard(node: onnx.NodeProto, *op_types: str) -> bool:
    """Whether a node has a standard ONNX operator; with `op_types`, whether it has one of these."""
    return node.domain in STANDARD_DOMAINS and (not op_types or node.op_type in op_types)


# --- attributes -------------------------------------------------------------------------------------------


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of an attribute: number, bytes, list, TensorProto or GraphProto; `default` if it is not given."""
    for entry in node.attribute:
        if entry.name == name:
            return helper.get_attribute_value(entry)
    return default


def string_attribute(node: onnx.NodeProto, name: str, default: str = "") -> str:
    """The value of a string attribute."""
    value = attribute(node, name, default)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def attributes(node: onnx.NodeProto) -> Dict[str, Any]:
    """All attributes by name."""
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


def drop_attributes(node: onnx.NodeProto, *names: str) -> None:
    """Remove the attributes `names`, in place, if they are given."""
    kept = [entry for entry in node.attribute if entry.name not in names]
    if len(kept) < len(node.attribute):
        del node.attribute[:]
        node.attribute.extend(kept)


def set_attributes(node: onnx.NodeProto, **values: Any) -> None:
    """Set these attributes of a node, in place; they come after the others."""
    drop_attributes(node, *values)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in values.items())


def constant_value(node: onnx.NodeProto) -> Optional[np.ndarray]:
    """The array of a Constant node; None for other nodes and for strings and sparse tensors."""
    if not is_standard(node, "Constant"):
        return None
    for entry in node.attribute:
        if entry.name == "value":
            return numpy_helper.to_array(entry.t)
        if entry.name in ("value_int", "value_ints"):
            return np.array(helper.get_attribute_value(entry), np.int64)
        if entry.name in ("value_float", "value_floats"):
            return np.array(helper.get_attribute_value(entry), np.float32)
    return None


# --- bodies -----------------------------------------------------------------------------------------------


def bodies(node: onnx.NodeProto) -> List[onnx.GraphProto]:
    """The graphs inside a node: branches of If, bodies of Loop and Scan."""
    found: List[onnx.GraphProto] = []
    for entry in node.attribute:
        if entry.type == AttributeProto.GRAPH:
            found.append(entry.g)
        elif entry.type == AttributeProto.GRAPHS:
            found.extend(entry.graphs)
    return found


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """The tensors that a node reads, including outer tensors that its bodies read; one may occur twice."""
    yield from (name for name in node.input if name)
    for body in bodies(node):
        own: Set[str] = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
        own.update(name for inner in body.node for name in inner.output)
        names = [name for inner in body.node for name in reads(inner)] + [value.name for value in body.output]
        yield from (name for name in names if name not in own)


def names_within(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """All names of tensors in nodes and their bodies."""
    for node in nodes:
        yield from (name for name in [*node.input, *node.output] if name)
        for body in bodies(node):
            yield from (value.name for value in [*body.input, *body.output])
            yield from (tensor.name for tensor in body.initializer)
            yield from names_within(body.node)


def copied_node(node: onnx.NodeProto, renamed: Optional[Mapping[str, str]] = None) -> onnx.NodeProto:
    """A copy of a node with tensors renamed by `renamed`, in its bodies too (no body may redefine an outer name)."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    if renamed:
        _rename(copy, renamed)
    return copy


def _rename(node: onnx.NodeProto, renamed: Mapping[str, str]) -> None:
    node.input[:] = [renamed.get(name, name) for name in node.input]
    node.output[:] = [renamed.get(name, name) for name in node.output]
    for body in bodies(node):
        for inner in body.node:
            _rename(inner, renamed)
        for value in body.output:
            value.name = renamed.get(value.name, value.name)
