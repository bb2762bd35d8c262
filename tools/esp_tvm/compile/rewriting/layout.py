"""NHWC everywhere, and as few transposes left as possible.

TVM's ConvertLayout does the conversion; it only has to know that a quantize or dequantize with one scale works in any
layout. Transposes remain at the borders of regions; the passes here move them together so that they cancel, move the
rest to int8 values (a quarter of the bytes), and apply those of constants at once.
"""

from __future__ import annotations

import functools
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import tvm
from tvm import relay
from tvm.relay.transform.infer_layout_utils import InferCorrectLayoutOutput

from .data_movement import fills_exactly, moved_data, with_data
from .toolbox import (
    DEQUANTIZE,
    QUANTIZE,
    RESHAPES,
    CallRewriter,
    both_spans,
    has_one_scale,
    is_call,
    permutation,
    rewrite_main,
    shape_of,
    transpose,
    with_args,
    with_span,
)

DESIRED_LAYOUTS = {
    # The documented two first; "default" is HWIO (HWOI when depthwise), which TVM's own code can also lower.
    "qnn.conv2d": ["NHWC", "default"],
    "nn.avg_pool2d": ["NHWC"],
    "nn.conv2d": ["NHWC", "default"],
    "nn.conv2d_transpose": ["NHWC", "default"],
    "nn.max_pool2d": ["NHWC"],
    "nn.global_avg_pool2d": ["NHWC"],
    "nn.global_max_pool2d": ["NHWC"],
    "image.resize2d": ["NHWC"],
}

# Above the level of TVM's own registrations, which some versions have and which stop at per-axis scales.
_OUR_LEVEL = 20


def _pass_any_layout(attrs, new_layouts, old_layouts, _old_types):
    # An undefined layout is passed as None.
    layout = old_layouts[0] if not new_layouts or new_layouts[0] is None else new_layouts[0]
    scalar = tvm.tir.layout("C")
    return InferCorrectLayoutOutput([layout, scalar, scalar], [layout], attrs)


@functools.lru_cache(maxsize=None)
def _let_layouts_pass() -> None:
    for name in (QUANTIZE, DEQUANTIZE):
        tvm.ir.register_op_attr(name, "FInferCorrectLayout", _pass_any_layout, _OUR_LEVEL)


def convert_layout(mod: tvm.IRModule) -> tvm.IRModule:
    """Convert images from ONNX's NCHW to NHWC."""
    _let_layouts_pass()
    passes = [relay.transform.RemoveUnusedFunctions(), relay.transform.ConvertLayout(DESIRED_LAYOUTS)]
    with tvm.transform.PassContext(opt_level=3):
        return tvm.transform.Sequential(passes)(mod)


class _SinkTransposes(CallRewriter):
    """Move transposes behind quantize, dequantize and pads, so that they meet and merge; one that stands behind a pad
    moves before it, so that convolutions find the pad next to them."""

    def __init__(self):
        super().__init__()
        # Relay does not infer the types of new calls by itself: their shapes are kept here.
        self._pending: Dict[relay.Expr, Tuple[relay.Expr, Tuple[int, ...], Tuple[int, ...], object]] = {}

    def _split(self, expr: relay.Expr):
        """(x, axes, shape of x, span) if `expr` is a transpose that this pass is still moving."""
        return self._pending.get(expr)

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        axes = permutation(call)
        if axes is not None:
            source, shape, span = args[0], shape_of(call.args[0]), call.span
            held = self._split(source)
            if held is not None:
                source, first, shape, span = held[0], held[1], held[2], held[3] or span
                axes = tuple(first[axis] for axis in axes)
            elif is_call(source, "nn.pad"):
                inner = self._hold(source.args[0], axes, shape_of(call.args[0].args[0]), span)
                return _permuted_pad(source, inner, axes)
            return self._hold(source, axes, shape, span)
        if is_call(call, QUANTIZE, DEQUANTIZE) and has_one_scale(call):
            held = self._split(args[0])
            if held is not None:
                inner = with_args(call, [held[0], *args[1:]])
                return self._hold(inner, held[1], held[2], held[3])
        if is_call(call, "nn.pad") and self._split(args[0]) is not None:
            inner, axes, _, span = self._split(args[0])
            back = [axes.index(axis) for axis in range(len(axes))]
            return self._hold(_permuted_pad(call, inner, back), axes, [shape_of(call)[axis] for axis in back], span)
        return None

    def _hold(self, x, axes, shape, span) -> relay.Expr:
        expr = transpose(x, axes, shape, span)
        if is_call(expr, "transpose"):
            self._pending[expr] = (x, tuple(axes), tuple(shape), span)
        return expr


def _permuted_pad(pad: relay.Call, x: relay.Expr, axes: Sequence[int]) -> relay.Call:
    """The same pad of `x`, whose axes are those of the pad's own input in the order `axes`."""
    widths = [pad.attrs.pad_width[axis] for axis in axes]
    return with_span(relay.nn.pad(x, widths, pad.args[1], pad_mode=str(pad.attrs.pad_mode)), pad.span)


class _RaiseDequantize(CallRewriter):
    """dequantize, then move -> move, then dequantize: moves then move int8. The quantize of a centred input, x - c, is
    one of x with a zero point."""

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> relay.Expr:
        call = with_args(call, args)
        data = moved_data(call)
        if data is not None and all(is_call(x, DEQUANTIZE) and has_one_scale(x) for x in data):
            first = data[0]
            if all(_same_scale(first, x) for x in data) and fills_exactly(call, _exponent(first)):
                moved = with_data(call, [x.args[0] for x in data], lambda v: _quantized_value(v, first))
                return with_args(first, [moved, *first.args[1:]])
        if is_call(call, QUANTIZE) and has_one_scale(call):
            return self._quantize(call, call.args[0])
        return call

    def _quantize(self, call: relay.Call, x: relay.Expr) -> relay.Expr:
        if isinstance(x, relay.Constant):
            return _quantized_values(call, x.data.numpy())
        if is_call(x, DEQUANTIZE) and has_one_scale(x):
            if isinstance(x.args[0], relay.Constant):
                return _quantized_constant(call, x)
            if _same_scale(call, x):
                return x.args[0]
        centred = _centred(call, x)
        if centred is not None:
            return self._quantize(centred, x.args[0])
        data = moved_data(x)
        if data is not None and (str(call.attrs.out_dtype) == "int8" or not is_call(x, "nn.pad")):
            # Quantize first: the move is then one of bytes.
            moved = with_data(x, [self._quantize(call, one) for one in data], lambda v: _quantized_value(v, call))
            return moved
        return with_args(call, [x, *call.args[1:]])


def _centred(call: relay.Call, x: relay.Expr) -> Optional[relay.Call]:
    """For the quantize `call` of x = y - c: the quantize of y with a zero point that gives the same.

    None where c is no constant of up to 128 whole steps, or y no input: what is computed before, c included, may be one
    kernel with rules of its own.
    """
    if str(call.attrs.out_dtype) != "int8" or not is_call(x, "subtract") or not isinstance(x.args[1], relay.Constant):
        return None
    if not _is_input(x.args[0]) or not has_one_scale(call) or x.args[1].data.numpy().ndim != 0:
        return None
    zero_point = int(call.args[2].data.numpy())
    steps = float(x.args[1].data.numpy()) / float(call.args[1].data.numpy())
    if zero_point != 0 or steps != np.round(steps) or abs(steps) > 128:
        return None
    own = relay.Call(call.op, [call.args[0], call.args[1], relay.const(np.int32(-steps))], call.attrs, None)
    return with_span(own, both_spans(call, x))


def _is_input(x: relay.Expr) -> bool:
    """Whether `x` is an input of the model, or moved from inputs."""
    data = moved_data(x)
    return isinstance(x, relay.Var) if data is None else all(_is_input(one) for one in data)


def _exponent(call: relay.Call) -> float:
    """log2 of the scale of a quantize or dequantize (an integer if the scale is a power of two)."""
    return float(np.log2(np.float64(call.args[1].data.numpy())))


def _quantized_value(value: float, call: relay.Call) -> int:
    """One real number as int8 at the scale of `call`: sat8(floor(x / scale + 1/2))."""
    scaled = value / float(call.args[1].data.numpy()) + float(call.args[2].data.numpy())
    return int(np.clip(np.floor(np.clip(np.nan_to_num(scaled), -1e6, 1e6) + 0.5), -128, 127))


def _quantized_constant(quantize: relay.Call, dequantize: relay.Call) -> relay.Expr:
    scale, zero = (float(a.data.numpy()) for a in dequantize.args[1:])
    values = (dequantize.args[0].data.numpy().astype(np.float64) - zero) * scale
    return _quantized_values(quantize, values)


def _quantized_values(quantize: relay.Call, values: np.ndarray) -> relay.Expr:
    scale, zero = (float(a.data.numpy()) for a in quantize.args[1:])
    info = np.iinfo(str(quantize.attrs.out_dtype))
    scaled = np.nan_to_num(values.astype(np.float64) / scale, posinf=1e9, neginf=-1e9)
    return relay.const(np.clip(np.floor(scaled + 0.5) + zero, info.min, info.max).astype(info.dtype))


def _same_scale(one: relay.Call, other: relay.Call) -> bool:
    """Whether an int8 value means the same real number to two calls of quantize or dequantize."""
    same = all(np.array_equal(a.data.numpy(), b.data.numpy()) for a, b in zip(one.args[1:], other.args[1:]))
    return same and _quantized_dtype(one) == _quantized_dtype(other)


def _quantized_dtype(call: relay.Call) -> str:
    return str(call.attrs.out_dtype) if is_call(call, QUANTIZE) else _dtype(call.args[0])


def _dtype(expr: relay.Expr) -> str:
    """The dtype of a quantized value; calls made by this pass are not typed yet."""
    if isinstance(expr, relay.Constant):
        return str(expr.data.dtype)
    if expr._checked_type_ is not None:
        return expr.checked_type.dtype
    if is_call(expr, QUANTIZE):
        return str(expr.attrs.out_dtype)
    data = moved_data(expr)
    if data is None:
        raise AssertionError("only quantizations and moves lie behind a dequantize")
    return _dtype(data[0])


class _MergeReshapes(CallRewriter):
    """Two reshapes are one, and one that changes nothing is none."""

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        if is_call(call, *RESHAPES):
            x, span = args[0], call.span
            while is_call(x, *RESHAPES):
                x, span = x.args[0], span or x.span
            if isinstance(x, (relay.Var, relay.Constant)) and shape_of(x) == shape_of(call):
                return x
            return with_span(relay.reshape(x, shape_of(call)), span)
        return None


class _FoldIntoConstants(CallRewriter):
    """Apply moves of a quantized constant at once, so that kernels only see dequantize(constant)."""

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        if args and is_call(args[0], DEQUANTIZE) and isinstance(args[0].args[0], relay.Constant):
            return _moved_constant(call, args[0])
        return None


def _moved_constant(move: relay.Call, dequantize: relay.Call) -> Optional[relay.Expr]:
    values = dequantize.args[0].data.numpy()
    per_axis = not has_one_scale(dequantize)
    axis = int(dequantize.attrs.axis) % max(values.ndim, 1)
    shape = shape_of(move)
    axes = permutation(move)
    if axes is not None:
        values, axis = np.transpose(values, axes), list(axes).index(axis)
    elif is_call(move, *RESHAPES):
        if per_axis:
            axis = _axis_after_reshape(values.shape, axis, shape)
            if axis is None:
                return None
        values = values.reshape(shape)
    else:
        return None
    constant = relay.const(np.ascontiguousarray(values), dtype=str(values.dtype))
    call = relay.qnn.op.dequantize(constant, dequantize.args[1], dequantize.args[2], axis=axis)
    return with_span(call, dequantize.span)


def _axis_after_reshape(old: Sequence[int], axis: int, new: Sequence[int]) -> Optional[int]:
    """The new index of `axis`: the axis of the same size with as many elements before it; None if it was split."""
    before = int(np.prod(old[:axis], dtype=np.int64))
    for candidate, size in enumerate(new):
        if size == old[axis] and int(np.prod(new[:candidate], dtype=np.int64)) == before:
            return candidate
    return None


def simplify_layout(mod: tvm.IRModule) -> tvm.IRModule:
    """Cancel adjacent transposes, fold those of constants, and move the others to int8 values."""
    steps = (_FoldIntoConstants, _RaiseDequantize, _MergeReshapes)
    for mutator in (*steps, _SinkTransposes, *steps):
        mod = rewrite_main(mod, mutator())
    # Moving a transpose down copies it to each reader of the tensor.
    return relay.transform.EliminateCommonSubexpr()(mod)
