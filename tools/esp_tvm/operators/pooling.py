"""Pooling over windows, and over whole planes."""

from __future__ import annotations

from typing import Optional

import numpy as np
import onnx

from . import base
from .base import COMPUTED, INT8, Operator, Parsed, Refusal
from .conv import window_fields
from .rows import ALL_ROWS, window_reach
from .rule import INPUT, OWN, Facts, Rule
from .tvm_later import is_op, relay


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if facts.rank(node.input[0]) not in ((3, 4, 5) if node.op_type.startswith("Global") else (3, 4)):
        return "it is neither 1-D nor 2-D"
    if len(node.output) > 1 and node.output[1]:
        return "its second output is used"
    return None


CHOSEN = "the largest (smallest) value; `e_y = e_x`"
MEAN = "`sat8(floor(sum * 2^(e_x - e_y) / n + 1/2))`; `n` counts the elements that ONNX counts, and is 1 for a sum"


class _Pool2d(Operator):
    """q(act(pool(dq(x)))), NHWC; windowed and global."""

    order = COMPUTED
    struct = "pool2d"

    relay_ops = ()

    def patterns(self):
        return [base.quantized(base.activated(is_op(name)(base.dequantized()))) for name in self.relay_ops]

    def parse(self, root):
        output = base.read_quantize(root, self.dtypes)
        body, clamp = base.strip_activation(root.args[0], output.exponent, base.bounds_of(output.dtype))
        x = base.read_dequantize(body.args[0], self.dtypes)
        attrs = body.attrs
        if str(attrs.layout) != "NHWC":
            raise Refusal(f"its layout is {attrs.layout}; kernels exist for NHWC")
        if body.op.name.startswith("nn.global"):
            attributes = {
                "kernel": x.shape[1:3],
                "strides": (1, 1),
                "padding": (0, 0, 0, 0),
                "dilation": (1, 1),
            }
        else:
            attributes = {
                "kernel": tuple(int(v) for v in attrs.pool_size),
                "strides": tuple(int(v) for v in attrs.strides),
                "padding": _declared_padding(attrs),
                "dilation": tuple(int(v) for v in attrs.dilation),
            }
        attributes["clamp"] = clamp
        attributes["output_size"] = output.shape[1:3]
        attributes.update(self.more(attrs, x, output, attributes))
        return Parsed([x], output, attributes)

    def more(self, attrs, x, output, attributes) -> dict:
        raise NotImplementedError

    def fields(self, call, c):
        a = call.attributes
        return {
            **window_fields(call, a["kernel"]),
            "count_include_pad": bool(a.get("count_include_pad", False)),
            "shift": a.get("shift", 0),
            "min": a["clamp"][0],
            "max": a["clamp"][1],
            "overhang_h": self._overhang(call, 0),
            "overhang_w": self._overhang(call, 1),
        }

    def reach(self, call):
        a = call.attributes
        # If padding counts, its share of a window depends on the whole image.
        if a.get("count_include_pad") and (any(a["padding"]) or self._overhang(call, 0)):
            return None
        return window_reach(a["strides"][0], a["padding"][0], a["kernel"][0], a["dilation"][0])

    @staticmethod
    def _overhang(call, axis) -> int:
        """How far the last window extends beyond the declared padding (ceil_mode), if padding counts."""
        if not call.attributes.get("count_include_pad"):
            return 0
        return max(_reaching_padding(call)[2 + axis] - call.attributes["padding"][2 + axis], 0)


def _declared_padding(attrs) -> tuple:
    """(top, left, bottom, right) as declared; the effect of ceil_mode is in the shape of the output."""
    padding = [int(v) for v in attrs.padding]
    return tuple(padding if len(padding) == 4 else padding * (4 // len(padding)))


class MaxPool2d(_Pool2d):
    """The largest value of each window; the exponent stays."""

    name = "max_pool2d"
    formula = CHOSEN
    rules = (
        Rule("max_pool", INPUT, _check, "MaxPool", "1- to 3-D; indices of all"),
        Rule("max_pool", INPUT, _check, "GlobalMaxPool"),
    )
    relay_ops = ("nn.max_pool2d", "nn.global_max_pool2d")

    def more(self, attrs, x, output, attributes):
        if output.exponent != x.exponent:
            raise Refusal(f"its exponents differ ({x.exponent} and {output.exponent}); a maximum keeps them")
        return {}

    def reference(self, call, x):
        a = call.attributes
        y = relay.nn.max_pool2d(
            base.widen(x),
            pool_size=a["kernel"],
            strides=a["strides"],
            dilation=a["dilation"],
            padding=_reaching_padding(call),
            layout="NHWC",
        )
        return relay.cast(relay.clip(y, a["clamp"][0], a["clamp"][1]), call.output.dtype)

    def output_range(self, call, inputs):
        low, high = inputs[0]
        return base.clamped((INT8[0] if _has_empty_window(call) else low, high), call)


def _taps(call, axis: int) -> np.ndarray:
    """The position of every tap along an axis of the image [outputs, taps], also outside the image."""
    a = call.attributes
    starts = np.arange(call.output.shape[1 + axis]) * a["strides"][axis] - a["padding"][axis]
    return starts[:, None] + np.arange(a["kernel"][axis]) * a["dilation"][axis]


def _has_empty_window(call) -> bool:
    """Whether a window has no tap in the image: with ceil_mode or dilation it can be entirely in the padding."""
    for axis in (0, 1):
        taps = _taps(call, axis)
        if not np.all(np.any((taps >= 0) & (taps < call.inputs[0].shape[1 + axis]), axis=1)):
            return True
    return False


def _reaching_padding(call) -> list:
    """Padding extended at the end so that the windows of all outputs fit (ceil_mode)."""
    a = call.attributes
    padding = list(a["padding"])
    for axis in (0, 1):
        span = (a["kernel"][axis] - 1) * a["dilation"][axis] + 1
        reach = (call.output.shape[1 + axis] - 1) * a["strides"][axis] + span
        # Less than declared if the last window ends before the padding.
        padding[2 + axis] = max(reach - call.inputs[0].shape[1 + axis] - padding[axis], 0)
    return padding


class AveragePool2d(_Pool2d):
    """floor(sum * 2^(e_x - e_y) / n + 1/2), n as ONNX counts."""

    name = "average_pool2d"
    formula = MEAN
    rules = (
        Rule("average_pool", OWN, _check, "AveragePool", "1- to 3-D"),
        Rule("average_pool", OWN, _check, "GlobalAveragePool"),
    )
    also = "ReduceMean"
    relay_ops = ("nn.avg_pool2d", "nn.global_avg_pool2d")

    def more(self, attrs, x, output, attributes):
        shift = output.exponent - x.exponent
        count = int(np.prod(attributes["kernel"]))
        if abs(shift) > 20 or (count * 129 << abs(shift)) * 2 > base.INT32_MAX:
            raise Refusal(f"the sum of {count} values, scaled by 2^{-shift}, does not fit 32 bits")
        return {"count_include_pad": bool(getattr(attrs, "count_include_pad", False)), "shift": shift}

    def is_global(self, call) -> bool:
        """Whether the one window is the whole image, without padding."""
        a = call.attributes
        whole = tuple(a["kernel"]) == tuple(call.inputs[0].shape[1:3]) and tuple(call.output.shape[1:3]) == (1, 1)
        return whole and not any(a["padding"]) and tuple(a["dilation"]) == (1, 1)

    def reach(self, call):
        return ALL_ROWS if self.is_global(call) else super().reach(call)

    def scratch(self, call):
        return 4 * call.output.shape[3] if "row_sums" in call.attributes else 0

    def emit(self, call, c, inputs, output):
        rows = call.attributes.get("row_sums")
        if rows is None:
            super().emit(call, c, inputs, output)
            return
        parameters = c.struct("esp_dl_average_rows_t", **self.rows_fields(call, c))
        c.call(f"{self.c_function}_rows", inputs[0], parameters, "scratch", output)

    def rows_fields(self, call, c):
        """The parameters of a kernel that adds up rows of an image."""
        rows = call.attributes["row_sums"]
        return {"pool": self.fields(call, c), "pixels": rows.pixels, "begins": rows.begins, "ends": rows.ends}

    def reference(self, call, x):
        a = call.attributes
        low, high = a["clamp"]
        x = base.widen(x)
        total = self._sum(call, x)
        count = self._counts(call)
        scaled = total if a["shift"] >= 0 else relay.left_shift(total, relay.const(-a["shift"]))
        divisor = count << max(a["shift"], 0)
        # floor(s/d + 1/2) = floor((2 s + d) / (2 d))
        numerator = relay.add(relay.left_shift(scaled, relay.const(1)), relay.const(divisor.astype(np.int32)))
        y = relay.floor_divide(numerator, relay.const((2 * divisor).astype(np.int32)))
        y = relay.clip(y, *INT8)
        return relay.cast(relay.clip(y, low, high), "int8")

    def _sum(self, call, x):
        """Window sums as a depthwise convolution with ones."""
        a = call.attributes
        channels = call.inputs[0].shape[3]
        ones = np.ones((channels, 1, *a["kernel"]), np.int32)
        y = relay.nn.conv2d(
            relay.transpose(x, [0, 3, 1, 2]),
            relay.const(ones),
            strides=a["strides"],
            padding=_reaching_padding(call),
            dilation=a["dilation"],
            groups=channels,
            channels=channels,
            kernel_size=a["kernel"],
            out_dtype="int32",
        )
        return relay.transpose(y, [0, 2, 3, 1])

    def _counts(self, call) -> np.ndarray:
        """n of every output position, [1, h, w, 1]."""
        a = call.attributes
        counts = []
        for axis in (0, 1):
            size, before, after = call.inputs[0].shape[1 + axis], a["padding"][axis], a["padding"][2 + axis]
            first, last = (-before, size + after) if a["count_include_pad"] else (0, size)
            taps = _taps(call, axis)
            counts.append(((taps >= first) & (taps < last)).sum(axis=1))
        # A window entirely in the padding (ceil_mode) has sum 0: any count gives 0.
        return np.maximum(counts[0][:, None] * counts[1][None, :], 1)[None, :, :, None]
