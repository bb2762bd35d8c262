"""The second output of MaxPool: where the maxima are."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from . import base, relay_op
from .base import COMPUTED, Operand, Operator, Parsed
from .rule import OWN, Facts, Rule
from .tvm_later import frontend, is_op, relay, tvm, wildcard

_OP = "esp_tvm.max_pool_indices"
_PAIRS = ("output_size", "kernel", "strides", "padding", "dilation")


def _op() -> tvm.ir.Op:
    """The Relay operator of (x) [n, c, h, w], attributes `shape`, `by_columns` and `_PAIRS`."""
    return relay_op.register(_OP, "where the maxima of windows are", "int64")


def _import(inputs, attr, params):
    """TVM's own pooling; and of two outputs the indices by an operator of their own."""
    outputs = int(attr.get("tvm_custom", {}).get("num_outputs", 1))
    # TVM takes how places are counted for an order of the axes.
    rest = {name: value for name, value in attr.items() if name != "storage_order"}
    values = frontend.MaxPool.get_converter(12)(inputs, rest, params)
    if outputs == 1:
        return values
    x, shape = inputs[0], [int(size) for size in frontend.infer_shape(values)]
    sizes = [int(size) for size in frontend.infer_shape(x)]
    if len(sizes) not in (3, 4):
        raise ValueError("the places of its maxima are computed in 1-D and 2-D only")
    if len(sizes) == 3:
        x = relay.expand_dims(x, axis=2)
    attrs = _attributes(attr, sizes[2:], shape[2:])
    whole = [*shape[:2], *attrs["output_size"]]
    places = relay.Call(_op(), [x], tvm.ir.make_node("DictAttrs", **attrs, shape=whole))
    if len(sizes) == 3:
        places = relay.squeeze(places, axis=[2])
    return relay.TupleWrapper(relay.Tuple([values, places]), 2)


def _attributes(attr: Dict, sizes: Sequence[int], outputs: Sequence[int]) -> Dict:
    """Of two axes, the first of which is 1 where ONNX has one."""
    rank = len(sizes)
    kernel, strides, dilation = (
        [int(v) for v in attr.get(name) or [1] * rank] for name in ("kernel_shape", "strides", "dilations")
    )
    before = [int(v) for v in attr.get("pads") or [0] * rank][:rank]
    same = attr.get("auto_pad", b"NOTSET")
    same = same.decode() if isinstance(same, bytes) else same
    if same.startswith("SAME"):
        reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(outputs, strides, kernel, dilation)]
        more = [max(0, end - size) for end, size in zip(reach, sizes)]
        before = [one // 2 if same == "SAME_UPPER" else one - one // 2 for one in more]
    for size, *axis in zip(sizes, outputs, strides, before, kernel, dilation):
        if _has_empty_window(size, *axis):
            raise ValueError("a window of it lies in the padding, where no maximum is")
    added = (1,) * (2 - rank), (0,) * (2 - rank)
    pairs = zip(_PAIRS, (outputs, kernel, strides, before, dilation), (0, 0, 0, 1, 0))
    return {
        **{name: [*added[which], *(int(v) for v in values)] for name, values, which in pairs},
        "by_columns": int(attr.get("storage_order", 0)),
    }


def _has_empty_window(size: int, outputs: int, stride: int, before: int, kernel: int, dilation: int) -> bool:
    taps = (np.arange(outputs) * stride - before)[:, None] + np.arange(kernel) * dilation
    return not np.all(np.any((taps >= 0) & (taps < size), axis=1))


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if facts.rank(node.input[0]) not in (3, 4):
        return "it is neither 1-D nor 2-D"
    return None if len(node.output) > 1 and node.output[1] else "its second output is not used"


class MaxPoolIndices(Operator):
    """max_pool_indices(dq(x)), or of float: int64, NCHW."""

    name = "max_pool_indices"
    order = COMPUTED
    formula = "the place in `[n, c, h, w]` of the first of the largest values of a window, all axes counted through"
    rules = (Rule("compare", OWN, _check, "MaxPool", compares=True),)
    converters = {"MaxPool": _import}
    output_place = 1

    def patterns(self):
        _op()
        return [is_op(_OP)(x) for x in (base.dequantized(), wildcard())]

    def parse(self, root):
        source = base.read_dequantize_or_float(root.args[0], "compares")
        attributes = {name: tuple(int(v) for v in root.attrs[name]) for name in _PAIRS}
        return Parsed(
            [source], Operand(root, "int64"), {**attributes, "by_columns": bool(int(root.attrs["by_columns"]))}
        )

    def reference(self, call, x):
        a, (n, c, height, width) = call.attributes, call.inputs[0].shape
        x = base.widen(x) if call.inputs[0].dtype == "int8" else x
        rows, columns = (_taps(a, axis) for axis in (0, 1))
        # [outputs, taps], row by row.
        h = np.repeat(np.repeat(rows, len(columns), axis=0), columns.shape[1], axis=1)
        w = np.tile(columns, (len(rows), rows.shape[1]))
        inside = (h >= 0) & (h < height) & (w >= 0) & (w < width)
        places = np.where(inside, h * width + w, 0)
        values = relay.take(relay.reshape(x, (n * c, height * width)), relay.const(places.reshape(-1)), axis=1)
        values = relay.reshape(values, (n * c, *places.shape))
        least = relay.const(np.array(-(2**30) if call.inputs[0].dtype == "int8" else -3e38, _values_type(call)))
        values = relay.where(relay.const(np.broadcast_to(inside, (n * c, *inside.shape)).copy()), values, least)
        tap = relay.cast(relay.argmax(values, axis=[2]), "int64")
        known = w * height + h if a["by_columns"] else h * width + w
        at = relay.add(tap, relay.const(np.arange(len(known))[None] * known.shape[1], "int64"))
        found = relay.take(relay.const(known.reshape(-1), "int64"), at)
        planes = np.arange(n * c)[:, None] * (height * width)
        return relay.reshape(relay.add(found, relay.const(planes, "int64")), call.output.shape)

    def emit(self, call, c, inputs, output):
        a, (n, channels, height, width) = call.attributes, call.inputs[0].shape
        pairs: List[Tuple[str, Tuple[int, int]]] = [("output", a["output_size"]), ("kernel", a["kernel"])]
        pairs += [("stride", a["strides"]), ("dilation", a["dilation"])]
        parameters = c.struct(
            "esp_dl_max_pool_indices_t",
            planes=n * channels,
            height=height,
            width=width,
            **{f"{name}_{axis}": value for name, values in pairs for axis, value in zip("hw", values)},
            pad_top=a["padding"][0],
            pad_left=a["padding"][1],
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
