"""The second output of MaxPool: where the maxima are."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..onnx_graph import same_pads
from . import base, relay_op
from .base import COMPUTED, Operand, Operator, Parsed
from .rule import OWN, Facts, Rule
from .tvm_later import frontend, is_op, relay, tvm, wildcard

_OP = "esp_tvm.max_pool_indices"
# For each of three axes: a number; the padding is that in front, below zero where rows are left out.
_TRIPLES = ("output_size", "kernel", "strides", "padding", "dilation")


def _op() -> tvm.ir.Op:
    """The Relay operator of (x) [n, c, d, h, w], attributes `shape`, `by_columns` and `_TRIPLES`."""
    return relay_op.register(_OP, "where the maxima of windows are", "int64")


def _import(inputs, attr, params):
    """TVM's own pooling; and of two outputs the indices by an operator of their own."""
    # TVM takes how places are counted for an order of the axes.
    rest = {name: value for name, value in attr.items() if name != "storage_order"}
    if int(attr.get("tvm_custom", {}).get("num_outputs", 1)) == 1:
        return frontend.MaxPool.get_converter(12)(inputs, rest, params)
    x, sizes = inputs[0], [int(size) for size in frontend.infer_shape(inputs[0])][2:]
    if not 1 <= len(sizes) <= 3:
        raise ValueError("the places of its maxima are computed in 1-D, 2-D and 3-D only")
    source, pads = _spelled_out(x, attr, sizes)
    rest.update({"pads": [max(0, pad) for pad in pads], "auto_pad": b"NOTSET"})
    if _auto_pad(attr).startswith("SAME"):
        rest["ceil_mode"] = 0  # It knows its number of windows without rounding.
    values = frontend.MaxPool.get_converter(12)([source, *inputs[1:]], rest, params)
    shape = [int(size) for size in frontend.infer_shape(values)]
    attrs = _attributes({**attr, "pads": pads}, sizes, shape[2:])
    added = list(range(2, 5 - len(sizes)))
    x = relay.expand_dims(x, axis=2, num_newaxis=len(added)) if added else x
    whole = [*shape[:2], *attrs["output_size"]]
    places = relay.Call(_op(), [x], tvm.ir.make_node("DictAttrs", **attrs, shape=whole))
    return relay.TupleWrapper(relay.Tuple([values, relay.squeeze(places, axis=added) if added else places]), 2)


def _spelled_out(x: relay.Expr, attr: Dict, sizes: Sequence[int]) -> Tuple[relay.Expr, List[int]]:
    """(what the windows read of x, their pads; below zero where rows or columns are left out)."""
    kind = _auto_pad(attr)
    if not kind.startswith("SAME"):
        return x, [0] * (2 * len(sizes)) if kind == "VALID" else _numbers(attr, "pads", 2 * len(sizes), 0)
    kernel, strides, dilations = (_numbers(attr, name, len(sizes)) for name in _WINDOW)
    before, after = same_pads(sizes, kernel, strides, dilations, kind == "SAME_UPPER")
    if min(before) < 0:
        first, axes = [max(0, -pad) for pad in before], list(range(2, 2 + len(sizes)))
        x = relay.strided_slice(x, first, list(sizes), [1] * len(first), axes)
    return x, [*before, *after]


def _auto_pad(attr: Dict) -> str:
    kind = attr.get("auto_pad", b"NOTSET")
    return kind.decode() if isinstance(kind, bytes) else kind


_WINDOW = ("kernel_shape", "strides", "dilations")


def _numbers(attr: Dict, name: str, count: int, default: int = 1) -> List[int]:
    return [int(v) for v in attr.get(name) or [default] * count]


def _attributes(attr: Dict, sizes: Sequence[int], outputs: Sequence[int]) -> Dict:
    """Of three axes, the first of which are 1 where ONNX has fewer."""
    rank = len(sizes)
    kernel, strides, dilation = (_numbers(attr, name, rank) for name in _WINDOW)
    before = attr["pads"][:rank]
    for size, *axis in zip(sizes, outputs, strides, before, kernel, dilation):
        if _has_empty_window(size, *axis):
            raise ValueError("a window of it lies in the padding, where no maximum is")
    triples = zip(_TRIPLES, (outputs, kernel, strides, before, dilation), (1, 1, 1, 0, 1))
    return {
        **{name: [*[alone] * (3 - rank), *(int(v) for v in values)] for name, values, alone in triples},
        "by_columns": int(attr.get("storage_order", 0)),
    }


def _has_empty_window(size: int, outputs: int, stride: int, before: int, kernel: int, dilation: int) -> bool:
    taps = (np.arange(outputs) * stride - before)[:, None] + np.arange(kernel) * dilation
    return not np.all(np.any((taps >= 0) & (taps < size), axis=1))


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if facts.rank(node.input[0]) not in (3, 4, 5):
        return "it has more than three axes"
    return None if len(node.output) > 1 and node.output[1] else "its second output is not used"


class MaxPoolIndices(Operator):
    """max_pool_indices(dq(x)), or of float: int64, [n, c, d, h, w]."""

    name = "max_pool_indices"
    order = COMPUTED
    formula = "the place in `[n, c, d, h, w]` of the first of the largest values of a window, all axes counted through"
    rules = (Rule("compare", OWN, _check, "MaxPool", compares=True),)
    converters = {"MaxPool": _import}
    output_place = 1

    def patterns(self):
        _op()
        return [is_op(_OP)(x) for x in (base.dequantized(), wildcard())]

    def parse(self, root):
        source = base.read_dequantize_or_float(root.args[0], "compares")
        attributes = {name: tuple(int(v) for v in root.attrs[name]) for name in _TRIPLES}
        return Parsed(
            [source], Operand(root, "int64"), {**attributes, "by_columns": bool(int(root.attrs["by_columns"]))}
        )

    def reference(self, call, x):
        a, (n, c, *sizes) = call.attributes, call.inputs[0].shape
        x = base.widen(x) if call.inputs[0].dtype == "int8" else x
        # [outputs, taps], row by row.
        at = [_spread([_taps(a, axis) for axis in range(3)], axis) for axis in range(3)]
        inside = np.all([(place >= 0) & (place < size) for place, size in zip(at, sizes)], axis=0)
        places = np.where(inside, (at[0] * sizes[1] + at[1]) * sizes[2] + at[2], 0)
        size = int(np.prod(sizes, dtype=np.int64))
        values = relay.take(relay.reshape(x, (n * c, size)), relay.const(places.reshape(-1)), axis=1)
        values = relay.reshape(values, (n * c, *places.shape))
        least = relay.const(np.array(-(2**30) if call.inputs[0].dtype == "int8" else -3e38, _values_type(call)))
        values = relay.where(relay.const(np.broadcast_to(inside, (n * c, *inside.shape)).copy()), values, least)
        tap = relay.cast(relay.argmax(values, axis=[2]), "int64")
        known = (at[2] * sizes[1] + at[1]) * sizes[0] + at[0] if a["by_columns"] else places
        found = relay.add(tap, relay.const(np.arange(len(known))[None] * known.shape[1], "int64"))
        found = relay.take(relay.const(known.reshape(-1), "int64"), found)
        planes = np.arange(n * c)[:, None] * size
        return relay.reshape(relay.add(found, relay.const(planes, "int64")), call.output.shape)

    def emit(self, call, c, inputs, output):
        a, (n, channels, *sizes) = call.attributes, call.inputs[0].shape
        triples: List[Tuple[str, Tuple[int, ...]]] = [("output", a["output_size"]), ("kernel", a["kernel"])]
        triples += [("stride", a["strides"]), ("pad", a["padding"]), ("dilation", a["dilation"])]
        parameters = c.struct(
            "esp_dl_max_pool_indices_t",
            planes=n * channels,
            **dict(zip(("depth", "height", "width"), sizes)),
            **{f"{name}_{axis}": value for name, values in triples for axis, value in zip("dhw", values)},
            by_columns=a["by_columns"],
        )
        kind = "s8" if call.inputs[0].dtype == "int8" else "f32"
        c.call(f"esp_dl_{self.name}_{kind}", inputs[0], parameters, output)


def _values_type(call) -> str:
    return "int32" if call.inputs[0].dtype == "int8" else "float32"


def _taps(a: dict, axis: int) -> np.ndarray:
    """The position of every tap along an axis [outputs, taps], also outside the image."""
    starts = np.arange(a["output_size"][axis]) * a["strides"][axis] - a["padding"][axis]
    return starts[:, None] + np.arange(a["kernel"][axis]) * a["dilation"][axis]


def _spread(taps: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """The position along an axis of every tap of every window [outputs of all axes, taps of all axes]."""
    outputs, window = ([one.shape[which] for one in taps] for which in (0, 1))
    shape = [length if place == axis else 1 for sizes in (outputs, window) for place, length in enumerate(sizes)]
    whole = np.broadcast_to(taps[axis].reshape(shape), (*outputs, *window))
    return whole.reshape(int(np.prod(outputs)), int(np.prod(window)))
