"""Softmax over the last axis."""

from __future__ import annotations

import numpy as np

from . import base
from .base import COMPUTED, Operand, Operator, Parsed, Refusal
from .quantization import quantize_expr
from .rule import Rule
from .tvm_later import is_op, relay


def exp_table(exponent: int) -> np.ndarray:
    """float32[256]: exp(-d * 2^exponent) for d = max - x."""
    with np.errstate(under="ignore"):
        return np.exp(-np.arange(256, dtype=np.float64) * 2.0**exponent).astype(np.float32)


class Softmax(Operator):
    """softmax(dq(x)), float at the end of the graph, int8 elsewhere."""

    name = "softmax"
    order = COMPUTED
    formula = (
        "`exp` from a table of 256 float32 values, summed and divided in float32 in the order of the index; float32, "
        "or int8 where the graph goes on in int8"
    )
    # Values are in [0, 1]: all of them fit 2^-7. Those of long rows are small, often less than two steps of that.
    rules = (Rule("softmax", -7, None, "Softmax", "at the end of the graph its output is float", finer=True),)

    def patterns(self):
        softmax = is_op("nn.softmax")(base.dequantized())
        return [base.quantized(softmax), softmax]

    def parse(self, root):
        if root.op.name == "qnn.quantize":
            output, body = base.read_quantize(root), root.args[0]
        else:
            output, body = Operand(root, root.checked_type.dtype), root
        x = base.read_dequantize(body.args[0], self.dtypes)
        rank = len(x.shape)
        if int(body.attrs.axis) % rank != rank - 1:
            raise Refusal(f"its axis is {body.attrs.axis}; the kernel takes the last one")
        return Parsed([x], output, {"exponent": x.exponent, "output_exponent": output.exponent})

    def reference(self, call, x):
        a = call.attributes
        rank = len(call.output.shape)
        x = base.widen(x)
        distance = relay.subtract(relay.max(x, axis=rank - 1, keepdims=True), x)
        powers = relay.take(relay.const(exp_table(a["exponent"])), distance)
        y = self.shares(call, powers)
        if a["output_exponent"] is None:
            return y
        return quantize_expr(y, a["output_exponent"], call.output.dtype)

    @staticmethod
    def shares(call, powers):
        """Each power divided by the sum of its row."""
        rank, columns = len(call.output.shape), call.output.shape[-1]
        # The last of the running sums, which are in index order: TVM's own reduction may be vectorised, and add in
        # another order.
        total = relay.take(relay.cumsum(powers, axis=rank - 1), relay.const(columns - 1), axis=rank - 1)
        return relay.divide(powers, relay.expand_dims(total, axis=rank - 1))

    def emit(self, call, c, inputs, output):
        a = call.attributes
        columns = call.output.shape[-1]
        parameters = c.struct(
            "esp_dl_softmax_t",
            rows=call.output.elements // columns,
            columns=columns,
            table=c.constant("table", exp_table(a["exponent"]), "exp(-d * 2^e), d = max - x"),
            exponent=a["output_exponent"] or 0,
        )
        kernel = "esp_dl_softmax_s8_f32" if a["output_exponent"] is None else "esp_dl_softmax_s8"
        c.call(kernel, inputs[0], parameters, output)
