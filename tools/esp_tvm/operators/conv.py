"""Convolutions with constant weights."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np
import onnx

from ..program import Call
from . import base
from .base import WEIGHTED, WITH_ADDEND, Operator, Parsed, Refusal
from .expressions import is_call
from .rows import window_reach
from .rule import OWN, Facts, Rule
from .tvm_later import is_constant, is_op, relay


def _window(call: Call, kernel) -> dict:
    a = call.attributes
    return {
        "kernel_h": kernel[0],
        "kernel_w": kernel[1],
        "stride_h": a["strides"][0],
        "stride_w": a["strides"][1],
        "dilation_h": a["dilation"][0],
        "dilation_w": a["dilation"][1],
        "pad_top": a["padding"][0],
        "pad_left": a["padding"][1],
    }


def window_fields(call: Call, kernel) -> dict:
    """The fields of esp_dl_shape_t input and output and of esp_dl_window_t."""
    return {
        "input": dict(zip("nhwc", call.inputs[0].shape)),
        "output": dict(zip("nhwc", call.output.shape)),
        "window": _window(call, kernel),
    }


def pad_field(call: Call) -> dict:
    """The field with the value of taps outside of the image, which C makes 0 where it is not given."""
    return {"pad_value": pad_value(call)} if pad_value(call) else {}


def addend_field(call: Call, c) -> dict:
    """The field of esp_dl_conv2d_add_t beside the convolution's; declares its array."""
    shift = np.asarray(call.attributes["addend_shift"]).astype(np.int8)
    return {"addend_shift": c.constant("addend_shift", shift, "left shift of what is added, per output channel")}


def emit_weighted(call: Call, c, weights: np.ndarray, layout: str) -> dict:
    """The fields that all kernels with weights share; declares their arrays."""
    a = call.attributes
    shift = np.asarray(a["shift"])
    return {
        "weights": c.constant("weights", weights, f"{layout} {list(weights.shape)}"),
        "bias": c.constant("bias", base.rounding_bias(a["bias"], shift), "with the half that rounding adds"),
        "shift": c.constant("shift", shift.astype(np.int8), "right shift per output channel"),
        "min": a["clamp"][0],
        "max": a["clamp"][1],
    }


def patterns_of(name: str) -> list:
    """q(act(<name>(dq(x), dq(w)) + dq(b))), and the same without the bias."""
    return patterns_on(name, base.dequantized())


def patterns_on(name: str, x, addend=None) -> list:
    """The same of values that match the pattern `x`; addend: the pattern of what is added before the activation."""
    conv = is_op(name)(x, base.constant_weights())
    with_bias = is_op("add")(conv, base.constant_weights())
    if addend is not None:
        conv, with_bias = is_op("add")(conv, addend), is_op("add")(with_bias, addend)
    return [base.quantized(base.activated(with_bias)), base.quantized(base.activated(conv))]


def split_addend(body) -> tuple:
    """(what a sum of a convolution and of another tensor adds to the tensor, the expression of that) of a match."""
    values = [is_call(x, "qnn.dequantize") and not isinstance(x.args[0], relay.Constant) for x in body.args]
    if not any(values):
        raise Refusal("")  # a bias
    first, second = body.args
    return (first, second) if values[1] else (second, first)


def read_convolution(root, dtypes=("int8",), adds: bool = False) -> tuple:
    """(output, clamp, x, its pad or None, weights, bias expression or None, attributes of the call, what is added, an
    expression or None) of a match; adds: it ends with a sum."""
    output = base.read_quantize(root, dtypes)
    body, clamp = base.strip_activation(root.args[0], output.exponent, base.bounds_of(output.dtype))
    bias = addend = None
    if adds:
        body, addend = split_addend(body)
    if body.op.name == "add":
        body, bias = body.args
    pad = body.args[0] if is_call(body.args[0], "nn.pad") else None
    x = base.read_dequantize(body.args[0] if pad is None else pad.args[0], dtypes)
    constant = base.read_constant(body.args[1])
    if str(body.attrs.data_layout) != "NHWC":
        raise Refusal(f"its layout is {body.attrs.data_layout}; kernels exist for NHWC")
    if constant.values.dtype != np.int8:
        raise Refusal(f"its weights are {constant.values.dtype}; kernels exist for int8")
    return output, clamp, x, pad, constant, bias, body.attrs, addend


SUM_OF_PRODUCTS = (
    "`acc = sum(x * w) + b`, `b` int32 at exponent `e_x + e_w`; `y = sat8(rshift(acc, e_y - e_x - e_w[c]))`. "
    "Padding adds nothing to the sum."
)
PADDED_SUM = SUM_OF_PRODUCTS.replace(
    "Padding adds nothing to the sum.",
    "`x` outside of the image is the pad value: 0, or the value of a Pad before it that became its padding.",
)


def pad_value(call: Call) -> int:
    """The value, of the input's type, that taps outside of the image read."""
    return call.attributes.get("pad_value", 0)


def whole_padding(pad: relay.Call, padding: Sequence[int]) -> Optional[Tuple[tuple, float]]:
    """(padding, the value of all of it) of a convolution NHWC with `padding` of zeros whose image `pad` extends before.

    None where the two are not one padding: `pad` concerns other axes, cuts, or adds another value.
    """
    widths = [tuple(int(v) for v in pair) for pair in pad.attrs.pad_width]
    if str(pad.attrs.pad_mode) != "constant" or len(widths) != 4 or not isinstance(pad.args[1], relay.Constant):
        return None
    if widths[0] != (0, 0) or widths[3] != (0, 0) or min(min(pair) for pair in widths) < 0:
        return None
    value = float(pad.args[1].data.numpy())
    if value and any(padding):
        return None
    (top, bottom), (left, right) = widths[1:3]
    return tuple(int(a) + b for a, b in zip(padding, (top, left, bottom, right))), value


def _read_padding(pad: relay.Call, padding: Sequence[int], x: base.Operand) -> Tuple[tuple, int]:
    """(padding, integer value of all of it) as `whole_padding`, or a refusal."""
    whole = whole_padding(pad, padding)
    if whole is None:
        raise Refusal("the pad before it is not its padding")
    value = base.quantize_value(whole[1], x.exponent, base.bounds_of(x.dtype))
    if value * 2.0**x.exponent != whole[1]:
        raise Refusal(f"the value {whole[1]:g} of the pad before it is no {x.dtype} value at 2^{x.exponent}")
    return whole[0], value


class _Convolution(Operator):
    """q(act(conv2d(dq(x), dq(w)) + dq(b))), NHWC."""

    depthwise = False
    # Whether another tensor is added to its sums.
    adds = False

    def patterns(self):
        padded = is_op("nn.pad")(base.dequantized(), is_constant())
        return [
            pattern
            for x in (padded, base.dequantized())
            for pattern in patterns_on("nn.conv2d", x, base.dequantized() if self.adds else None)
        ]

    def parse(self, root):
        output, clamp, x, pad, constant, bias, attrs, addend = read_convolution(root, self.dtypes, self.adds)
        padding, fill = tuple(int(v) for v in attrs.padding), 0
        if pad is not None:
            padding, fill = _read_padding(pad, padding, x)
        channels = x.shape[3]
        outputs = int(output.shape[3])
        groups = int(attrs.groups)
        depthwise = groups == channels and groups > 1
        if depthwise != self.depthwise:
            raise Refusal("")
        weights, axis = _as_ohwi(constant.values, str(attrs.kernel_layout), outputs, constant.axis)
        if constant.exponents.size > 1 and axis != 0:
            raise Refusal("its weights have one scale per input channel")
        exponents = np.broadcast_to(constant.exponents.reshape(-1), (outputs,))
        bias = base.read_bias(bias, outputs, exponents + x.exponent)
        shift = output.exponent - x.exponent - exponents
        added = {}
        if addend is not None:
            other = base.read_dequantize(addend, self.dtypes)
            added = {"addend_shift": read_addend(other, output, weights, bias, shift, exponents + x.exponent, x)}
        weights, bias, shift = base.requantize_shift(weights, bias, shift, *base.widths(x, output))
        attributes = {
            "weights": weights,
            "bias": bias,
            "shift": shift,
            **added,
            "strides": tuple(int(v) for v in attrs.strides),
            "padding": padding,
            "dilation": tuple(int(v) for v in attrs.dilation),
            "clamp": clamp,
        }
        if fill:
            attributes["pad_value"] = fill
        if depthwise:
            # OHWI with I = 1 -> HWO
            attributes["weights"] = np.ascontiguousarray(weights[..., 0].transpose(1, 2, 0))
        else:
            attributes["groups"] = groups
        return Parsed([x] if addend is None else [x, other], output, attributes)

    def reach(self, call):
        a = call.attributes
        kernel = a["weights"].shape[0 if self.depthwise else 1]
        return window_reach(a["strides"][0], a["padding"][0], kernel, a["dilation"][0])

    def _reference(self, call, x, weights, groups, addend=None):
        # NCHW and OIHW: the only form that TVM lowers for any number of groups.
        a = call.attributes
        padding = a["padding"]
        if pad_value(call):
            top, left, bottom, right = padding
            widths = [(0, 0), (top, bottom), (left, right), (0, 0)]
            x, padding = relay.nn.pad(x, widths, relay.const(pad_value(call), call.inputs[0].dtype)), (0, 0, 0, 0)
        acc = relay.nn.conv2d(
            relay.transpose(base.widen(x), [0, 3, 1, 2]),
            relay.const(np.ascontiguousarray(weights.transpose(0, 3, 1, 2)).astype(np.int32)),
            strides=a["strides"],
            padding=padding,
            dilation=a["dilation"],
            groups=groups,
            channels=weights.shape[0],
            kernel_size=weights.shape[1:3],
            out_dtype="int32",
        )
        acc = relay.add(relay.transpose(acc, [0, 2, 3, 1]), relay.const(a["bias"]))
        if addend is not None:
            acc = relay.add(acc, relay.left_shift(base.widen(addend), relay.const(a["addend_shift"])))
        return base.requantize_expr(acc, a["shift"], a["clamp"], call.output.dtype)


def read_addend(
    other: base.Operand,
    output: base.Operand,
    weights: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    exponents: np.ndarray,
    x: base.Operand,
) -> np.ndarray:
    """int32 [O]: by how much the tensor `other` is shifted left to be added to sums at `exponents`, or a refusal."""
    if other.shape != output.shape:
        raise Refusal(f"what is added to it has the shape {list(other.shape)}, its result {list(output.shape)}")
    left = other.exponent - exponents
    if left.min() < 0:
        channel = int(np.argmin(left))
        raise Refusal(
            f"what is added to it has steps of 2^{other.exponent}, finer than those of 2^{int(exponents[channel])} of "
            f"the sums of channel {channel}; quantize its result before the sum"
        )
    magnitude, most = base.widths(x, output)[0], -base.bounds_of(other.dtype)[0]
    total = np.abs(weights.astype(np.int64)).reshape(len(left), -1).sum(axis=1) * magnitude
    half = np.where(shift > 0, 1 << np.clip(shift - 1, 0, 40), 0)
    worst = total + np.abs(bias.astype(np.int64)) + half + (most << np.minimum(left, 40))
    if worst.max() > base.INT32_MAX:
        channel = int(np.argmax(worst))
        raise Refusal(
            f"the sum of output channel {channel}, with what is added to it, can reach {int(worst[channel])}, more "
            "than 32 bits hold"
        )
    return left.astype(np.int32)


def _as_ohwi(values: np.ndarray, layout: str, outputs: int, axis: int):
    """(weights OHWI, the new position of the scale's axis): HWIO, HWOI (depthwise, O*I outputs) or OIHW."""
    order = [layout.index(letter) for letter in "OHWI"]
    weights = values.transpose(order)
    moved = order.index(axis)
    if weights.shape[0] != outputs:
        # Depthwise HWOI [kh, kw, channels, multiplier]: output channel = channel * multiplier + index.
        if moved == 3 and weights.shape[0] == 1:
            moved = 0
        o, h, w, i = weights.shape
        weights = weights.transpose(0, 3, 1, 2).reshape(o * i, h, w, 1)
    return np.ascontiguousarray(weights), moved


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if node.input[1] not in facts.constants:
        return "its weights are not constant"
    if facts.constants[node.input[1]].ndim not in (3, 4):
        return "it is neither 1-D nor 2-D"
    if len(node.input) > 2 and node.input[2] and node.input[2] not in facts.constants:
        return "its bias is not constant"
    return None


class Conv2d(_Convolution):
    """Convolution with any number of groups, except depthwise."""

    name = "conv2d"
    order = WEIGHTED
    formula = PADDED_SUM
    rules = (Rule("conv", OWN, _check, "Conv", "1- to 3-D, weights constant; groups of 3-D: in float"),)

    def reference(self, call, x):
        return self._reference(call, x, call.attributes["weights"], call.attributes["groups"])

    def fields(self, call, c):
        weights = call.attributes["weights"]
        return {
            **window_fields(call, weights.shape[1:3]),
            "groups": call.attributes["groups"],
            **emit_weighted(call, c, weights, "OHWI"),
            **pad_field(call),
        }

    def macs(self, call):
        return call.output.elements * int(np.prod(call.attributes["weights"].shape[1:]))


class Conv2dAdd(Conv2d):
    """Convolution to whose sums another tensor is added before they are rounded: a residual connection."""

    name = "conv2d_add"
    order = WITH_ADDEND
    formula = (
        "`acc = sum(x * w) + b + (x2 << (e_2 - e_x - e_w[c]))`; `y = sat8(rshift(acc, e_y - e_x - e_w[c]))`, where no "
        "shift of x2 is negative; the rest as for conv2d"
    )
    also = "Conv Add"
    adds = True

    def reference(self, call, x, addend):
        return self._reference(call, x, call.attributes["weights"], call.attributes["groups"], addend)

    def overwrites(self, call):
        return [call.inputs[1]] if call.inputs[1].root is not call.inputs[0].root else []

    def fields(self, call, c):
        return {"conv2d": super().fields(call, c), **addend_field(call, c)}


class DepthwiseConv2d(_Convolution):
    """One filter, or `multiplier` filters, per input channel."""

    name = "depthwise_conv2d"
    order = WEIGHTED
    formula = PADDED_SUM
    also = "Conv"
    depthwise = True

    def reference(self, call, x):
        weights = call.attributes["weights"].transpose(2, 0, 1)[..., None]
        return self._reference(call, x, weights, call.inputs[0].shape[3])

    def fields(self, call, c):
        weights = call.attributes["weights"]
        return {
            **window_fields(call, weights.shape[:2]),
            **emit_weighted(call, c, weights, "HWO"),
            **pad_field(call),
        }

    def macs(self, call):
        return call.output.elements * int(np.prod(call.attributes["weights"].shape[:2]))
