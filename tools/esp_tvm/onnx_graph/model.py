"""Whole ONNX models: copies, opsets, node names, shapes and types by inference."""

from __future__ import annotations

from typing import Container, Dict, List, Sequence, Tuple

import onnx

from .nodes import STANDARD_DOMAINS, reads

# For constants with more values than this, inference gets only the shape (protobuf is limited to 2 GB).
_VALUES_FOR_INFERENCE = 4096


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that may be changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def with_outputs(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """A copy of `model` whose outputs are `tensors`."""
    copy = copied(model)
    declared = {value.name: value for value in model.graph.output}
    del copy.graph.output[:]
    for name in tensors:
        if name in declared:
            copy.graph.output.add().CopyFrom(declared[name])
        else:
            copy.graph.output.add().name = name
    return copy


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators that the model uses; 0 where it declares none."""
    return max((entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), default=0)


def keep_opsets(model: onnx.ModelProto, domains: Container[str] = ()) -> None:
    """Keep only the opsets of the standard operators and of `domains`, in place."""
    kept = [entry for entry in model.opset_import if entry.domain in STANDARD_DOMAINS or entry.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def value_names(graph: onnx.GraphProto) -> List[str]:
    """The graph's inputs, constants not counted, in order."""
    constants = {tensor.name for tensor in graph.initializer}
    return [value.name for value in graph.input if value.name not in constants]


def make_node_names_unique(graph: onnx.GraphProto, unnamed: bool = True) -> None:
    """Make the names of all nodes unique, in place; names that are already unique stay.

    unnamed: whether nodes without one get a name, which tells their place
    """
    taken = set()
    for index, node in enumerate(graph.node):
        if not node.name and not unnamed:
            continue
        base = node.name or f"{node.op_type}_{index}"
        name, suffix = base, 1
        while name in taken:
            name, suffix = f"{base}_{suffix}", suffix + 1
        taken.add(name)
        node.name = name


def drop_unused_constants(graph: onnx.GraphProto) -> None:
    """Remove initializers that nothing reads, in place."""
    used = {name for node in graph.node for name in reads(node)} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)


# --- shapes and types -------------------------------------------------------------------------------------


def drop_unknown_values(graph: onnx.GraphProto) -> None:
    """Remove the declared shapes of tensors that no node makes any more."""
    made = {name for node in graph.node for name in node.output}
    kept = [value for value in graph.value_info if value.name in made]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def inferred_values(model: onnx.ModelProto, check_type: bool = False) -> Dict[str, onnx.ValueInfoProto]:
    """The inferred types and shapes of the inputs, the inner tensors (in their order) and the outputs, by name.

    Large constants take part by shape and type only. Raises onnx's exceptions for an inconsistent model.
    """
    graph = onnx.shape_inference.infer_shapes(_skeleton(model), check_type=check_type, data_prop=True).graph
    inputs = {value.name: value for value in model.graph.input}
    values = {value.name: value for value in [*graph.value_info, *graph.output]}
    return {**inputs, **values}


def with_inferred_shapes(model: onnx.ModelProto, check_type: bool = False) -> onnx.ModelProto:
    """A copy of `model` in which inferred types and shapes of inner tensors replace the declared ones."""
    values = inferred_values(model, check_type)
    ports = {value.name for value in [*model.graph.input, *model.graph.output]}
    copy = copied(model)
    del copy.graph.value_info[:]
    copy.graph.value_info.extend(value for name, value in values.items() if name not in ports)
    for value in copy.graph.output:
        value.CopyFrom(values[value.name])
    return copy


def known_shapes(model: onnx.ModelProto) -> Dict[str, Tuple[int, ...]]:
    """The shapes of all tensors whose sizes are all known, constants included."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for name, value in inferred_values(model).items():
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            shapes[name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return shapes


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without declared inner shapes, large constants as inputs."""
    skeleton = onnx.ModelProto()
    skeleton.ir_version = max(model.ir_version, 4)
    skeleton.opset_import.extend(model.opset_import)
    skeleton.functions.extend(model.functions)
    graph, given = skeleton.graph, {value.name for value in model.graph.input}
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        count = 1
        for size in tensor.dims:
            count *= size
        if count <= _VALUES_FOR_INFERENCE:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return skeleton


__all__ = [
    "copied",
    "drop_unused_constants",
    "inferred_values",
    "keep_opsets",
    "known_shapes",
    "make_node_names_unique",
    "opset_of",
    "value_names",
    "with_inferred_shapes",
    "with_outputs",
]
