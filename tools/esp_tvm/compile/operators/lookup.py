"""Unary functions: a table with one entry per int8 value."""

from __future__ import annotations

import numpy as np
import scipy.special
from tvm import relay
from tvm.relay.dataflow_pattern import is_op

from . import base
from .base import Operator, Parsed

# The function itself, in float64; `call` gives the attributes.
FUNCTIONS = {
    "sigmoid": lambda x, call: scipy.special.expit(x),
    "tanh": lambda x, call: np.tanh(x),
    "exp": lambda x, call: np.exp(x),
    "log": lambda x, call: np.log(x),
    "sqrt": lambda x, call: np.sqrt(x),
    "abs": lambda x, call: np.abs(x),
    "negative": lambda x, call: -x,
    "erf": lambda x, call: scipy.special.erf(x),
    "nn.leaky_relu": lambda x, call: np.where(x >= 0, x, x * float(call.attrs.alpha)),
}


def table_of(function, exponent: int, output_exponent: int, clamp=base.INT8) -> np.ndarray:
    """int8[256], indexed by x + 128: sat8(floor(f(x * 2^e_x) / 2^e_y + 1/2)) in float64; NaN gives 0."""
    x = np.arange(-128, 128, dtype=np.float64) * 2.0**exponent
    with np.errstate(all="ignore"):
        y = np.asarray(function(x), dtype=np.float64) * 2.0**-output_exponent
        y = np.floor(np.where(np.isnan(y), 0.0, np.clip(y, -1e6, 1e6)) + 0.5)
    return np.clip(np.clip(y, *base.INT8), *clamp).astype(np.int8)


class Lookup(Operator):
    """q(act(f(dq(x)))) for any unary f."""

    name = "lookup"
    in_place = True

    def patterns(self):
        return [base.quantized(base.activated(is_op(name)(base.dequantized()))) for name in FUNCTIONS]

    def parse(self, root):
        output = base.read_quantize(root)
        body, clamp = base.strip_activation(root.args[0], output.exponent)
        x = base.read_dequantize(body.args[0])
        function = FUNCTIONS[body.op.name]
        table = table_of(lambda v: function(v, body), x.exponent, output.exponent, clamp)
        return Parsed([x], output, {"table": table})

    def reference(self, call, x):
        index = relay.add(base.widen(x), relay.const(128))
        return relay.take(relay.const(call.attributes["table"]), index)

    def emit(self, call, c, inputs, output):
        table = c.constant("table", call.attributes["table"], "f(x), indexed by x + 128")
        c.line(f"esp_dl_lookup_s8({inputs[0]}, {call.output.elements}, {table}, {output});")
