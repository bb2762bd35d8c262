"""Makes the pads of windows explicit where tools interpret them differently.

- auto_pad SAME with dilations: ONNX Runtime 1.14 refuses it in Conv, and counts the pads of pools without dilation.
- auto_pad SAME of 1-D pools: TVM pads by an operator of its own, which then runs in float.
- AveragePool with ceil_mode: ONNX Runtime 1.14 divides by positions beyond the padded input, and has windows entirely
  in the padding. Here it is as in PyTorch, and in ONNX's text since opset 19: a window ends at the padded input, and
  none starts after the input and its left pad.
- ConvTranspose with output_shape: TVM takes auto_pad VALID as no padding; ONNX pads to reach that shape.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..onnx_graph import (
    Graph,
    attribute,
    copied,
    drop_attributes,
    is_standard,
    known_shapes,
    set_attributes,
    string_attribute,
)


def explicit_windows(model: onnx.ModelProto, declared: Dict[str, Tuple[int, ...]]) -> None:
    """Rewrite these windows in place; the shapes of their inputs must be known.

    declared: the shapes of the outputs in the model's file (`declared_sizes`).
    """
    if not any(map(_is_implicit, model.graph.node)):
        return
    graph = Graph(copied(model))
    for node in graph.nodes:
        shape = graph.shapes.get(node.input[0]) if _is_implicit(node) else None
        if shape is None:
            continue
        if _has_odd_same(node):
            _same_as_pads(graph, node, shape[2:])
        elif _has_output_shape(node):
            _output_shape_as_pads(graph, node, shape[2:])
        else:
            _ceiling_as_pads(graph, node, shape[2:])
    graph.write()
    del graph.proto.value_info[:]
    # A model that was made for windows in the padding (as its outputs show) is not changed.
    if _output_sizes(graph.model).items() >= declared.items():
        model.CopyFrom(graph.model)
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")


def declared_sizes(model: onnx.ModelProto) -> Dict[str, Tuple[int, ...]]:
    """The shapes of the outputs that a model declares with all sizes."""
    dims = {value.name: value.type.tensor_type.shape.dim for value in model.graph.output}
    shapes = {name: tuple(dim.dim_value for dim in sizes) for name, sizes in dims.items()}
    return {name: shape for name, shape in shapes.items() if shape and 0 not in shape}


def _output_sizes(model: onnx.ModelProto) -> Dict[str, Tuple[int, ...]]:
    """The shapes of the outputs by inference alone."""
    bare = copied(model)
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    shapes = known_shapes(bare)
    return {value.name: shapes[value.name] for value in model.graph.output if value.name in shapes}


def _is_implicit(node: onnx.NodeProto) -> bool:
    return _has_odd_same(node) or _has_ceiling(node) or _has_output_shape(node)


def _has_output_shape(node: onnx.NodeProto) -> bool:
    return is_standard(node, "ConvTranspose") and bool(attribute(node, "output_shape"))


def _has_odd_same(node: onnx.NodeProto) -> bool:
    if not is_standard(node, "Conv", "MaxPool", "AveragePool"):
        return False
    if not string_attribute(node, "auto_pad").startswith("SAME"):
        return False
    one_axis = len(attribute(node, "kernel_shape", ())) == 1 and node.op_type != "Conv"
    return one_axis or any(size != 1 for size in attribute(node, "dilations", ()))


def _has_ceiling(node: onnx.NodeProto) -> bool:
    return is_standard(node, "AveragePool") and bool(attribute(node, "ceil_mode"))


def _kernel(graph: Graph, node: onnx.NodeProto, rank: int) -> Optional[List[int]]:
    kernel = attribute(node, "kernel_shape")
    if kernel is None and len(node.input) > 1:
        kernel = graph.shapes.get(node.input[1], ())[2:]
    return list(kernel) if kernel and len(kernel) == rank else None


def _same_as_pads(graph: Graph, node: onnx.NodeProto, sizes: Sequence[int]) -> None:
    kernel = _kernel(graph, node, len(sizes))
    if kernel is None:
        return
    strides = attribute(node, "strides", [1] * len(sizes))
    dilations = attribute(node, "dilations", [1] * len(sizes))
    upper = string_attribute(node, "auto_pad") == "SAME_UPPER"
    before, after = [], []
    for size, window, stride, dilation in zip(sizes, kernel, strides, dilations):
        total = max(0, (-(-size // stride) - 1) * stride + (window - 1) * dilation + 1 - size)
        before.append(total // 2 if upper else total - total // 2)
        after.append(total - before[-1])
    drop_attributes(node, "auto_pad")
    set_attributes(node, pads=[*before, *after])
    # As many windows as SAME has, no more.
    drop_attributes(node, "ceil_mode")


def _output_shape_as_pads(graph: Graph, node: onnx.NodeProto, sizes: Sequence[int]) -> None:
    """By ONNX's formula; what is odd goes to the front but for SAME_UPPER."""
    rank, wanted = len(sizes), list(attribute(node, "output_shape"))[-len(sizes) :]
    kernel = _kernel(graph, node, rank)
    if kernel is None or len(wanted) != rank:
        return
    strides, dilations = (attribute(node, name, [1] * rank) for name in ("strides", "dilations"))
    more = list(attribute(node, "output_padding", [0] * rank))
    before, after = [], []
    for axis, (size, window, stride, dilation) in enumerate(zip(sizes, kernel, strides, dilations)):
        total = stride * (size - 1) + more[axis] + (window - 1) * dilation + 1 - wanted[axis]
        more[axis] -= min(total, 0)
        small, large = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
        upper = string_attribute(node, "auto_pad") == "SAME_UPPER"
        before.append(small if upper else large)
        after.append(large if upper else small)
    if any(one >= max(stride, dilation) for one, stride, dilation in zip(more, strides, dilations)):
        return
    drop_attributes(node, "auto_pad", "output_shape")
    set_attributes(node, pads=[*before, *after], output_padding=more)


def _ceiling_as_pads(graph: Graph, node: onnx.NodeProto, sizes: Sequence[int]) -> None:
    kernel = _kernel(graph, node, len(sizes))
    if string_attribute(node, "auto_pad", "NOTSET") == "VALID":
        pads = [0] * (2 * len(sizes))
    elif string_attribute(node, "auto_pad", "NOTSET") == "NOTSET":
        pads = list(attribute(node, "pads", [0] * (2 * len(sizes))))
    else:
        # SAME knows its number of windows without rounding.
        drop_attributes(node, "ceil_mode")
        return
    if kernel is None or len(pads) != 2 * len(sizes):
        return
    strides = attribute(node, "strides", [1] * len(sizes))
    before, after = pads[: len(sizes)], pads[len(sizes) :]
    beyond = []
    for size, window, stride, first, last in zip(sizes, kernel, strides, before, after):
        count = _windows(size, window, stride, first, last)
        if count < 1:
            return
        beyond.append(max(0, (count - 1) * stride + window - (size + first + last)))
    drop_attributes(node, "ceil_mode", "auto_pad")
    if not attribute(node, "count_include_pad", 0) or not any(beyond):
        set_attributes(node, pads=[*before, *[last + more for last, more in zip(after, beyond)]])
        return
    if any(pads):
        padded = graph.fresh(f"{node.input[0]}_padded")
        amounts = graph.add_constant(f"{node.input[0]}_pads", [0, 0, *before, 0, 0, *after], np.int64)
        graph.insert_before(node, graph.make("Pad", [node.input[0], amounts], [padded], f"{node.name}_pad"))
        graph.set_input(node, 0, padded)
    set_attributes(node, pads=[*[0] * len(sizes), *beyond], count_include_pad=0)


def _windows(size: int, window: int, stride: int, before: int, after: int) -> int:
    count = -(-(size + before + after - window) // stride) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


__all__: List[str] = ["declared_sizes", "explicit_windows"]
