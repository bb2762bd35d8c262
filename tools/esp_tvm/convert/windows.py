"""Makes the pads of windows explicit where tools interpret them differently.

- auto_pad SAME with dilations: ONNX Runtime 1.14 refuses it in Conv, and counts the pads of pools without dilation.
- auto_pad SAME of MaxPool and of 1-D pools: TVM pads by an operator of its own, which then runs in float.
- auto_pad SAME with strides longer than the window: by ONNX's formula the pads are negative, and ONNX Runtime leaves
  out the first rows and columns; TVM does not.
- AveragePool with ceil_mode: ONNX Runtime 1.14 divides by positions beyond the padded input, and has windows entirely
  in the padding. Here it is as in PyTorch, and in ONNX's text since opset 19: a window ends at the padded input, and
  none starts after the input and its left pad.
- ConvTranspose with output_shape: TVM takes auto_pad VALID as no padding; ONNX pads to reach that shape.
- ConvTranspose with auto_pad SAME: where the window is shorter than the stride, ONNX Runtime has nothing to cut off and
  gives fewer values than input times stride; TVM always gives that many.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..onnx_graph import (
    Graph,
    attribute,
    copied,
    copied_node,
    drop_attributes,
    edited,
    is_standard,
    known_shapes,
    same_pads,
    set_attributes,
    string_attribute,
)

Evaluate = Callable[[onnx.ModelProto, Sequence[str]], Optional[List[np.ndarray]]]


def explicit_windows(model: onnx.ModelProto, declared: Dict[str, Tuple[int, ...]], evaluate: Evaluate) -> None:
    """Rewrite these windows in place; the shapes of their inputs must be known.

    A model that was made for windows in the padding (its outputs, or the constants behind them, fit no other size)
    keeps them.
    declared: the shapes of the outputs in the model's file (`declared_sizes`)
    evaluate(model, names) -> values of tensors of a model, or None if it cannot be run
    """
    if not any(map(_is_implicit, model.graph.node)):
        return
    for drop in (True, False):
        rewritten, dropped = _rewritten(model, drop)
        if _output_sizes(rewritten).items() >= declared.items() and not (dropped and not _runs(rewritten, evaluate)):
            model.CopyFrom(rewritten)
            for value in model.graph.output:
                value.type.tensor_type.ClearField("shape")
            return


def pads_of_max_pools(model: onnx.ModelProto) -> None:
    """Let these pools pad by themselves, in place."""
    if not {"Pad", "MaxPool"} <= {node.op_type for node in model.graph.node}:
        return
    with edited(model) as graph:
        for node in graph.nodes:
            pad = graph.producer(node.input[0]) if is_standard(node, "MaxPool") and len(node.output) == 1 else None
            if pad is not None and _is_infinite(graph, pad) and graph.only_consumer(pad.output[0]) is node:
                _pad_in_pool(graph, pad, node)


def _is_infinite(graph: Graph, node: onnx.NodeProto) -> bool:
    if not is_standard(node, "Pad") or string_attribute(node, "mode", "constant") != "constant" or len(node.input) < 3:
        return False
    value = graph.constant(node.input[2])
    return value is not None and value.size == 1 and bool(np.all(value <= np.finfo(np.float32).min))


def _pad_in_pool(graph: Graph, pad: onnx.NodeProto, pool: onnx.NodeProto) -> None:
    """Nothing where the pool has no such pads: of other axes, negative, or as large as its window."""
    kernel, amounts = attribute(pool, "kernel_shape"), graph.constant(pad.input[1])
    rank = len(kernel)
    if amounts is None or amounts.size != 2 * rank + 4 or len(pad.input) > 3:
        return
    if string_attribute(pool, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return
    ends = amounts.reshape(2, -1)
    own = attribute(pool, "pads", [0] * (2 * rank)) if string_attribute(pool, "auto_pad", "NOTSET") == "NOTSET" else 0
    pads = ends[:, 2:].ravel() + np.array(own)
    if ends[:, :2].any() or ends.min() < 0 or np.any(pads >= [*kernel, *kernel]):
        return
    drop_attributes(pool, "auto_pad")
    set_attributes(pool, pads=pads.tolist())
    graph.set_input(pool, 0, pad.input[0])
    graph.remove(pad)


def _runs(model: onnx.ModelProto, evaluate: Evaluate) -> bool:
    return evaluate(copied(model), [value.name for value in model.graph.output]) is not None


def _rewritten(model: onnx.ModelProto, drop: bool) -> Tuple[onnx.ModelProto, bool]:
    """(the model with its windows rewritten, whether windows in the padding were dropped, which `drop` allows)."""
    graph, dropped = Graph(copied(model)), False
    for node in graph.nodes:
        shape = graph.shapes.get(node.input[0]) if _is_implicit(node) else None
        if shape is None:
            continue
        if _has_odd_same(node):
            _same_as_pads(graph, node, shape[2:])
        elif _is_transposed(node):
            _transposed_as_pads(graph, node, shape[2:])
        else:
            dropped |= _ceiling_as_pads(graph, node, shape[2:], drop)
    graph.write()
    del graph.proto.value_info[:]
    return graph.model, dropped


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
    return _has_odd_same(node) or _has_ceiling(node) or _is_transposed(node)


def _is_transposed(node: onnx.NodeProto) -> bool:
    """Whether it is a transposed convolution whose pads follow from the size of its output."""
    same = string_attribute(node, "auto_pad").startswith("SAME")
    return is_standard(node, "ConvTranspose") and (same or bool(attribute(node, "output_shape")))


def _has_odd_same(node: onnx.NodeProto) -> bool:
    if not is_standard(node, "Conv", "MaxPool", "AveragePool"):
        return False
    if not string_attribute(node, "auto_pad").startswith("SAME"):
        return False
    kernel, strides = attribute(node, "kernel_shape", ()), attribute(node, "strides", ())
    by_an_operator = node.op_type == "MaxPool" or (len(kernel) == 1 and node.op_type != "Conv")
    longer = not kernel or any(stride > window for stride, window in zip(strides, kernel))
    return by_an_operator or longer or any(size != 1 for size in attribute(node, "dilations", ()))


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
    before, after = same_pads(sizes, kernel, strides, dilations, upper)
    left_out = [max(0, -first) for first in before]
    if any(left_out) and any(node.output[1:]):
        # The places of maxima count all rows and columns: `operators/max_pool_indices.py` leaves them out.
        if not places_apart(graph, node):
            return
    drop_attributes(node, "auto_pad")
    set_attributes(node, pads=[max(0, pad) for pad in (*before, *after)])
    if any(left_out):
        _leave_out(graph, node, left_out)
    # As many windows as SAME has, no more.
    drop_attributes(node, "ceil_mode")


def places_apart(graph: Graph, node: onnx.NodeProto) -> bool:
    """Give the places of a MaxPool's maxima a node of their own, behind it; False where its values are not read."""
    if not graph.is_used(node.output[0]):
        return False
    places = copied_node(node)
    places.name = f"{node.name}_places"
    places.output[0] = graph.fresh(f"{node.output[0]}_again")
    graph.set_outputs(node, node.output[:1])
    graph.insert_after(node, places)
    return True


def _leave_out(graph: Graph, node: onnx.NodeProto, first: Sequence[int]) -> None:
    """Let a node read its input without the first rows or columns of each axis of the image."""
    whole, axes = node.input[0], list(range(2, 2 + len(first)))
    rest = graph.fresh(f"{whole}_rest")
    bounds = (("starts", list(first)), ("ends", [np.iinfo(np.int64).max] * len(first)), ("axes", axes))
    inputs = [whole, *(graph.add_constant(f"{rest}_{name}", values, np.int64) for name, values in bounds)]
    graph.insert_before(node, graph.make("Slice", inputs, [rest], f"{node.name}_slice"))
    graph.set_input(node, 0, rest)


def _transposed_as_pads(graph: Graph, node: onnx.NodeProto, sizes: Sequence[int]) -> None:
    """By ONNX's formula; what is odd goes to the front but for SAME_UPPER."""
    rank = len(sizes)
    kernel, given = _kernel(graph, node, rank), attribute(node, "output_shape")
    strides, dilations = (attribute(node, name, [1] * rank) for name in ("strides", "dilations"))
    wanted = list(given)[-rank:] if given else [size * stride for size, stride in zip(sizes, strides)]
    if kernel is None or len(wanted) != rank:
        return
    more = list(attribute(node, "output_padding", [0] * rank))
    before, after = [], []
    for axis, (size, window, stride, dilation) in enumerate(zip(sizes, kernel, strides, dilations)):
        total = stride * (size - 1) + more[axis] + (window - 1) * dilation + 1 - wanted[axis]
        more[axis] -= min(total, 0) if given else 0
        small, large = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
        upper = string_attribute(node, "auto_pad") == "SAME_UPPER"
        before.append(small if upper else large)
        after.append(large if upper else small)
    if any(one >= max(stride, dilation) for one, stride, dilation in zip(more, strides, dilations)):
        return
    drop_attributes(node, "auto_pad", "output_shape")
    set_attributes(node, pads=[*before, *after], output_padding=more)


def _ceiling_as_pads(graph: Graph, node: onnx.NodeProto, sizes: Sequence[int], drop: bool) -> bool:
    """Returns whether windows in the padding were dropped; without `drop` a node that has some stays."""
    kernel = _kernel(graph, node, len(sizes))
    if string_attribute(node, "auto_pad", "NOTSET") == "VALID":
        pads = [0] * (2 * len(sizes))
    elif string_attribute(node, "auto_pad", "NOTSET") == "NOTSET":
        pads = list(attribute(node, "pads", [0] * (2 * len(sizes))))
    else:
        # SAME knows its number of windows without rounding.
        drop_attributes(node, "ceil_mode")
        return False
    if kernel is None or len(pads) != 2 * len(sizes):
        return False
    strides = attribute(node, "strides", [1] * len(sizes))
    before, after = pads[: len(sizes)], pads[len(sizes) :]
    beyond, dropped = [], False
    for size, window, stride, first, last in zip(sizes, kernel, strides, before, after):
        count = -(-(size + first + last - window) // stride) + 1
        if (count - 1) * stride >= size + first:
            count, dropped = count - 1, True
        if count < 1 or dropped and not drop:
            return False
        beyond.append(max(0, (count - 1) * stride + window - (size + first + last)))
    drop_attributes(node, "ceil_mode", "auto_pad")
    if not attribute(node, "count_include_pad", 0) or not any(beyond):
        set_attributes(node, pads=[*before, *[last + more for last, more in zip(after, beyond)]])
        return dropped
    if any(pads):
        padded = graph.fresh(f"{node.input[0]}_padded")
        amounts = graph.add_constant(f"{node.input[0]}_pads", [0, 0, *before, 0, 0, *after], np.int64)
        graph.insert_before(node, graph.make("Pad", [node.input[0], amounts], [padded], f"{node.name}_pad"))
        graph.set_input(node, 0, padded)
    set_attributes(node, pads=[*[0] * len(sizes), *beyond], count_include_pad=0)
    return dropped


__all__: List[str] = ["declared_sizes", "explicit_windows", "places_apart"]
