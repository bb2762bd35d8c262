"""Scale and offset per channel: a batch normalization that cannot be folded into a convolution."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from . import base
from .base import SEVERAL, Operator, Parsed, Refusal
from .expressions import is_call
from .rows import SAME_ROW
from .rule import Rule
from .tvm_later import is_op, relay


class Channelwise(Operator):
    """q(act(dq(x) * dq(m) + dq(b))), m and b constants along one axis."""

    name = "channelwise"
    order = SEVERAL
    formula = "`sat8(rshift(x * m[c] + b[c], e_y - e_x - e_m[c]))`, `b` int32 at `e_x + e_m`"
    rules = (Rule("", onnx="BatchNormalization", limits="not in training mode; folded into a convolution before it"),)
    also = "Add Sum Sub Mul GroupNormalization"
    in_place = True

    def patterns(self):
        scaled = is_op("multiply")(base.dequantized(), base.constant_weights())
        moved = is_op("add")(scaled, base.constant_weights())
        return [base.quantized(base.activated(moved)), base.quantized(base.activated(scaled))]

    def parse(self, root):
        output = base.read_quantize(root)
        body, clamp = base.strip_activation(root.args[0], output.exponent)
        offset = None
        if is_call(body, "add"):
            body, offset = _constant_last(body)
        source, factor = _constant_last(body)
        x = base.read_dequantize(source)
        if x.shape != output.shape:
            raise Refusal("its constants widen its input")
        multiplier = base.read_constant(factor)
        if multiplier.values.dtype != np.int8:
            raise Refusal(f"its factors are {multiplier.values.dtype}; kernels exist for int8")
        axis = _common_axis(x.shape, factor, offset)
        channels = x.shape[axis]
        values = np.broadcast_to(multiplier.values.reshape(-1), (channels,))
        exponents = np.broadcast_to(multiplier.exponents.reshape(-1), (channels,))
        bias = base.read_bias(offset, channels, exponents + x.exponent)
        values, bias, shift = base.requantize_shift(values[:, None], bias, output.exponent - x.exponent - exponents)
        attributes = {"multiplier": values[:, 0], "bias": bias, "shift": shift, "axis": axis, "clamp": clamp}
        return Parsed([x], output, attributes)

    def reference(self, call, x):
        a = call.attributes
        along = [1] * len(call.output.shape)
        along[a["axis"]] = call.output.shape[a["axis"]]
        product = relay.multiply(base.widen(x), relay.const(a["multiplier"].astype(np.int32).reshape(along)))
        total = relay.add(product, relay.const(a["bias"].reshape(along)))
        return base.requantize_expr(total, a["shift"].reshape(along), a["clamp"])

    def fields(self, call, c):
        a = call.attributes
        shape, axis = call.output.shape, a["axis"]
        return {
            "outer": int(np.prod(shape[:axis], dtype=np.int64)),
            "channels": shape[axis],
            "inner": int(np.prod(shape[axis + 1 :], dtype=np.int64)),
            "multiplier": c.constant("multiplier", a["multiplier"], "factor per channel"),
            "bias": c.constant("bias", base.rounding_bias(a["bias"], a["shift"]), "with the half that rounding adds"),
            "shift": c.constant("shift", a["shift"].astype(np.int8), "right shift per channel"),
            "min": a["clamp"][0],
            "max": a["clamp"][1],
        }

    def reach(self, call):
        return SAME_ROW if call.attributes["axis"] == 3 else None

    def macs(self, call):
        return call.output.elements


def _constant_last(call: relay.Call) -> Tuple[relay.Expr, relay.Expr]:
    first, second = call.args
    if is_call(first, "qnn.dequantize") and isinstance(first.args[0], relay.Constant):
        return second, first
    return first, second


def _axis_of(constant: relay.Call, rank: int) -> Optional[int]:
    """The axis of a tensor of `rank` along which the constants vary; None for a single constant."""
    shape = constant.args[0].data.numpy().shape
    axes = [rank - len(shape) + i for i, size in enumerate(shape) if size != 1]
    if len(axes) > 1:
        raise Refusal("its constants lie along more than one axis")
    return axes[0] if axes else None


def _common_axis(shape, factor: relay.Call, offset: Optional[relay.Call]) -> int:
    axes = {_axis_of(constant, len(shape)) for constant in (factor, offset) if constant is not None} - {None}
    if len(axes) > 1:
        raise Refusal("its factors and its offsets lie along different axes")
    return axes.pop() if axes else len(shape) - 1
