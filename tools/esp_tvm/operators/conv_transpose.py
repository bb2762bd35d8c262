"""Transposed convolutions with constant weights."""

from __future__ import annotations

from typing import Optional

import numpy as np
import onnx

from . import base
from .base import WEIGHTED, Operator, Parsed, Refusal
from .conv import SUM_OF_PRODUCTS, emit_weighted, patterns_of, read_convolution, window_fields
from .rule import OWN, Facts, Rule
from .tvm_later import relay


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if any(name and name not in facts.constants for name in node.input[1:]):
        return "its weights or its bias are not constant"
    return None if facts.constants[node.input[1]].ndim in (3, 4) else "it is neither 1-D nor 2-D"


class ConvTranspose2d(Operator):
    """q(act(conv2d_transpose(dq(x), dq(w)) + dq(b))), NHWC."""

    name = "conv_transpose2d"
    struct = "conv2d"
    order = WEIGHTED
    formula = SUM_OF_PRODUCTS
    rules = (Rule("real", OWN, _check, "ConvTranspose", "1-D and 2-D, weights constant; 3-D: in float"),)

    def patterns(self):
        return patterns_of("nn.conv2d_transpose")

    def parse(self, root):
        output, clamp, x, _, constant, bias, attrs, _ = read_convolution(root)
        groups, outputs = int(attrs.groups), int(output.shape[3])
        layout = str(attrs.kernel_layout)
        if constant.exponents.size > 1 and layout[constant.axis] != "O":
            raise Refusal("its weights have one scale per input channel")
        weights = _as_ohwi(constant.values, layout, groups)
        exponents = np.tile(constant.exponents.reshape(-1), outputs // constant.exponents.size)
        bias = base.read_bias(bias, outputs, exponents + x.exponent)
        weights, bias, shift = base.requantize_shift(weights, bias, output.exponent - x.exponent - exponents)
        padding, extra = _ends(attrs)
        return Parsed(
            [x],
            output,
            {
                "weights": weights,
                "bias": bias,
                "shift": shift,
                "strides": tuple(int(v) for v in attrs.strides),
                "padding": padding,
                "dilation": tuple(int(v) for v in attrs.dilation),
                "output_padding": extra,
                "groups": groups,
                "clamp": clamp,
            },
        )

    def reference(self, call, x):
        # Zeros are inserted between the pixels, then a convolution with the reversed filter, then the padding is cut
        # off.
        a = call.attributes
        weights = a["weights"][:, ::-1, ::-1].transpose(0, 3, 1, 2)
        reach = [(k - 1) * d for k, d in zip(weights.shape[2:], a["dilation"])]
        spread = relay.nn.dilate(
            relay.transpose(base.widen(x), [0, 3, 1, 2]), strides=[1, 1, *a["strides"]], dilation_value=0.0
        )
        acc = relay.nn.conv2d(
            spread,
            relay.const(np.ascontiguousarray(weights).astype(np.int32)),
            padding=(*reach, reach[0] + a["output_padding"][0], reach[1] + a["output_padding"][1]),
            dilation=a["dilation"],
            groups=a["groups"],
            channels=weights.shape[0],
            kernel_size=weights.shape[2:],
            out_dtype="int32",
        )
        begin = list(a["padding"][:2])
        end = [begin[0] + call.output.shape[1], begin[1] + call.output.shape[2]]
        acc = relay.strided_slice(acc, begin=begin, end=end, strides=[1, 1], axes=[2, 3])
        acc = relay.add(relay.transpose(acc, [0, 2, 3, 1]), relay.const(a["bias"]))
        return base.requantize_expr(acc, a["shift"], a["clamp"])

    def fields(self, call, c):
        weights = call.attributes["weights"]
        return {
            **window_fields(call, weights.shape[1:3]),
            "groups": call.attributes["groups"],
            **emit_weighted(call, c, weights, "OHWI"),
        }

    def macs(self, call):
        return call.inputs[0].elements * int(np.prod(call.attributes["weights"].shape[:3])) // call.attributes["groups"]


def _as_ohwi(values: np.ndarray, layout: str, groups: int) -> np.ndarray:
    """Filters in `layout`, I all input channels and O the output channels of one group, as [O, kh, kw, I/groups]."""
    i, o, h, w = values.transpose([layout.index(letter) for letter in "IOHW"]).shape
    weights = values.transpose([layout.index(letter) for letter in "IOHW"])
    weights = weights.reshape(groups, i // groups, o, h, w).transpose(0, 2, 3, 4, 1)
    return np.ascontiguousarray(weights.reshape(groups * o, h, w, i // groups))


def _ends(attrs) -> tuple:
    """(padding, output_padding): negative padding at the end, which output_shape can cause, extends the result."""
    padding = [int(v) for v in attrs.padding]
    extra = [int(v) for v in attrs.output_padding]
    if min(padding[:2]) < 0:
        raise Refusal("its result is larger than what it computes, on its first side too")
    extra = [more - min(end, 0) for more, end in zip(extra, padding[2:])]
    return (*padding[:2], *(max(end, 0) for end in padding[2:])), tuple(extra)
