"""Logarithm of the softmax over the last axis, in integers."""

from __future__ import annotations

import numpy as np

from . import base
from .base import COMPUTED, INT8, STEPS, Operand, Operator, Parsed, Refusal
from .rule import OWN, Rule
from .tvm_later import frontend, is_op, relay

LN2 = 11629080  # ln(2) * 2^24


def power_table(exponent: int, places: int) -> np.ndarray:
    """int32[256]: floor(exp(-d * 2^exponent) * 2^places + 1/2)."""
    with np.errstate(under="ignore"):
        powers = np.exp(-np.arange(256, dtype=np.float64) * 2.0**exponent)
    return np.floor(powers * 2.0**places + 0.5).astype(np.int32)


def logarithm_table() -> np.ndarray:
    """int32[257]: floor(ln(1 + i/256) * 2^24 + 1/2)."""
    return np.floor(np.log1p(np.arange(257) / 256.0) * 2.0**24 + 0.5).astype(np.int32)


def _import(inputs, attr, params):
    """One operator, also where the model has the softmax of the same tensor beside it: TVM writes log(softmax(x)), and
    of a softmax that others read no kernel can be a part."""
    rank = len(frontend.infer_shape(inputs[0]))
    axis = int(attr.get("axis", -1)) % max(rank, 1)
    if axis == rank - 1:
        return relay.nn.log_softmax(inputs[0], axis)
    return relay.log(relay.nn.softmax(inputs[0], axis))


class LogSoftmax(Operator):
    """log(softmax(dq(x))), float at the end of the graph, int8 elsewhere."""

    name = "log_softmax"
    # Before softmax, which it may contain.
    order = COMPUTED - 1
    formula = STEPS
    rules = (Rule("real", OWN, None, "LogSoftmax"),)
    converters = {"LogSoftmax": _import}

    def patterns(self):
        spelled = is_op("log")(is_op("nn.softmax")(base.dequantized()))
        found = []
        for body in (spelled, is_op("nn.log_softmax")(base.dequantized())):
            found += [base.quantized(body), body]
        return found

    def parse(self, root):
        if root.op.name == "qnn.quantize":
            output, body = base.read_quantize(root), root.args[0]
        else:
            output, body = Operand(root, root.checked_type.dtype), root
        if body.op.name == "log":
            body = body.args[0]
        x = base.read_dequantize(body.args[0])
        rank, columns = len(x.shape), x.shape[-1]
        if int(body.attrs.axis) % rank != rank - 1:
            raise Refusal(f"its axis is {body.attrs.axis}; the kernel takes the last one")
        if not -16 <= x.exponent <= 5:
            raise Refusal(f"the exponent of its input is {x.exponent}; the kernel takes -16 to 5")
        if output.exponent is not None and not -24 <= output.exponent <= 14:
            raise Refusal(f"the exponent of its output is {output.exponent}; the kernel takes -24 to 14")
        places = 30 - max(columns - 1, 0).bit_length()
        if places < 8:
            raise Refusal(f"its rows have {columns} values; the kernel takes {2**22}")
        return Parsed(
            [x],
            output,
            {
                "powers": power_table(x.exponent, places),
                "logarithms": logarithm_table(),
                "places": places,
                "exponent": x.exponent,
                "output_exponent": output.exponent,
            },
        )

    def reference(self, call, x):
        a = call.attributes
        x = base.widen(x)
        axis = len(call.output.shape) - 1
        distance = relay.subtract(relay.max(x, axis=axis, keepdims=True), x)
        total = relay.sum(relay.take(relay.const(a["powers"]), distance), axis=axis, keepdims=True)
        top = relay.zeros_like(total)
        for power in range(1, 31):
            top = relay.add(top, relay.cast(relay.greater_equal(total, _const(2**power)), "int32"))
        fraction = relay.subtract(relay.left_shift(total, relay.subtract(_const(30), top)), _const(2**30))
        index = relay.right_shift(fraction, _const(22))
        part = relay.bitwise_and(relay.right_shift(fraction, _const(8)), _const(0x3FFF))
        table = relay.const(a["logarithms"])
        low, high = relay.take(table, index), relay.take(table, relay.add(index, _const(1)))
        between = _rshift(relay.multiply(relay.subtract(high, low), part), 14)
        log = relay.add(relay.multiply(relay.subtract(top, _const(a["places"])), _const(LN2)), relay.add(low, between))
        scaled = relay.left_shift(distance, _const(a["exponent"] + 16))
        y = relay.negative(relay.add(scaled, _rshift(log, 8)))
        if a["output_exponent"] is None:
            return relay.multiply(relay.cast(y, "float32"), relay.const(np.float32(2.0**-16)))
        return base.requantize_expr(y, a["output_exponent"] + 16, INT8)

    def emit(self, call, c, inputs, output):
        a = call.attributes
        columns = call.output.shape[-1]
        parameters = c.struct(
            "esp_dl_log_softmax_t",
            rows=call.output.elements // columns,
            columns=columns,
            powers=c.constant("powers", a["powers"], f"exp(-d * 2^{a['exponent']}) * 2^{a['places']}"),
            logarithms=c.constant("logarithms", a["logarithms"], "ln(1 + i/256) * 2^24"),
            places=a["places"],
            exponent=a["exponent"],
            output_exponent=a["output_exponent"] or 0,
        )
        kernel = "esp_dl_log_softmax_s8_f32" if a["output_exponent"] is None else "esp_dl_log_softmax_s8"
        c.call(kernel, inputs[0], parameters, output)


def _const(value: int) -> relay.Expr:
    return relay.const(np.int32(value))


def _rshift(x: relay.Expr, places: int) -> relay.Expr:
    return relay.right_shift(relay.add(x, _const(1 << (places - 1))), _const(places))
