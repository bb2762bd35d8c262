"""Matrix products with constant weights."""

from __future__ import annotations

import numpy as np

from . import base
from .base import Operator, Parsed, Refusal
from .conv import emit_weighted
from .tvm_later import is_op, relay


class Dense(Operator):
    """q(act(dense(dq(x), dq(w)) + dq(b))): x [rows, inputs], w [outputs, inputs]."""

    name = "dense"

    def patterns(self):
        dense = is_op("nn.dense")(base.dequantized(), base.constant_weights())
        bias = base.constant_weights()
        with_bias = is_op("add")(dense, bias) | is_op("nn.bias_add")(dense, bias)
        return [base.quantized(base.activated(with_bias)), base.quantized(base.activated(dense))]

    def parse(self, root):
        output = base.read_quantize(root, self.dtypes)
        body, clamp = base.strip_activation(root.args[0], output.exponent, base.bounds_of(output.dtype))
        bias = None
        if body.op.name != "nn.dense":
            body, bias = body.args
        x = base.read_dequantize(body.args[0], self.dtypes)
        constant = base.read_constant(body.args[1])
        if constant.values.dtype != np.int8:
            raise Refusal(f"its weights are {constant.values.dtype}; kernels exist for int8")
        exponents = constant.per_channel(0)
        outputs = constant.values.shape[0]
        bias = base.read_bias(bias, outputs, exponents + x.exponent)
        shift = output.exponent - x.exponent - exponents
        weights, bias, shift = base.requantize_shift(constant.values, bias, shift, *base.widths(x, output))
        return Parsed([x], output, {"weights": weights, "bias": bias, "shift": shift, "clamp": clamp})

    def reference(self, call, x):
        a = call.attributes
        weights = relay.const(a["weights"].astype(np.int32))
        acc = relay.nn.dense(base.widen(x), weights, out_dtype="int32")
        return base.requantize_expr(relay.add(acc, relay.const(a["bias"])), a["shift"], a["clamp"], call.output.dtype)

    def emit(self, call, c, inputs, output):
        weights = call.attributes["weights"]
        parameters = c.struct(
            "esp_dl_dense_t",
            rows=call.output.elements // weights.shape[0],
            inputs=weights.shape[1],
            outputs=weights.shape[0],
            **emit_weighted(call, c, weights, "[outputs][inputs]"),
        )
        c.call("esp_dl_dense_s8", inputs[0], parameters, output)

    def macs(self, call):
        return call.output.elements * call.attributes["weights"].shape[1]
