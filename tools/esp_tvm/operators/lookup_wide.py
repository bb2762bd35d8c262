"""Unary functions of int16 tensors: lines between 513 values; of int8 with an int16 result one value for each."""

from __future__ import annotations

import numpy as np

from . import base
from .base import Operator, Parsed, Refusal
from .lookup import Lookup, evaluate, read_source, rounded, source_of, table_of
from .tvm_later import relay
from .wide import Wide

# The lines may be so many steps of an int16 result beside the function (the interpolation of a smooth function over a
# few units of x is within two), and of an int8 result.
MOST_OFF = {"int16": 64, "int8": 1}
_FINER = 8  # bits of the entries for an int8 result


def points(function, exponent: int, output_exponent: int, output: str) -> np.ndarray:
    """int16[513]: f of every 128th value of int16, for a result of type `output` at `output_exponent`."""
    x = np.arange(-32768, 32769, 128, dtype=np.float64) * 2.0**exponent
    return rounded(function, x, output_exponent - (_FINER if output == "int8" else 0), "int16")


def steps_off(function, table: np.ndarray, exponent: int, output_exponent: int, output: str) -> int:
    """By how many steps of the result the lines between `points` are beside the function, at most."""
    x = np.arange(-32768, 32768)
    right = rounded(function, x * 2.0**exponent, output_exponent, output).astype(np.int64)
    low, part, wide = (x + 32768) >> 7, x & 127, table.astype(np.int64)
    lines = (wide[low] * (128 - part) + wide[low + 1] * part + 64) >> 7
    lines = lines if output == "int16" else np.minimum((lines + 128) >> _FINER, 127)
    return int(np.abs(lines - right).max())


class LookupS16(Wide, Lookup):
    """Where x, the result or both are int16."""

    name = "lookup_s16"

    def sources(self, root):
        found = super().sources(root)
        if found is None:
            return None
        try:
            self.parse(root)
        except Refusal:
            return None
        return found

    def parse(self, root):
        output = base.read_quantize(root, self.dtypes)
        x = read_source(source_of(root.args[0]), self.dtypes)
        if "int16" not in (x.dtype, output.dtype):
            raise Refusal("")

        def function(v: np.ndarray) -> np.ndarray:
            return evaluate(root.args[0], v)

        if x.dtype != "int16":
            table = table_of(function, x.exponent or 0, output.exponent, x.dtype, "int16")
            return Parsed([x], output, {"table": table, "output": output.dtype})
        table = points(function, x.exponent, output.exponent, output.dtype)
        off = steps_off(function, table, x.exponent, output.exponent, output.dtype)
        if off > MOST_OFF[output.dtype]:
            raise Refusal(f"lines between 513 values of its function are {off} steps off")
        return Parsed([x], output, {"table": table, "output": output.dtype})

    def reference(self, call, x):
        table = relay.const(call.attributes["table"].astype(np.int32))
        if call.inputs[0].dtype != "int16":
            byte = relay.bitwise_and(base.widen(x), relay.const(255))
            return relay.cast(relay.take(table, relay.bitwise_xor(byte, relay.const(128))), "int16")
        place = relay.add(base.widen(x), relay.const(32768))
        low, part = relay.right_shift(place, relay.const(7)), relay.bitwise_and(place, relay.const(127))
        ends = relay.take(table, low), relay.take(table, relay.add(low, relay.const(1)))
        total = relay.multiply(ends[0], relay.subtract(relay.const(128), part))
        total = relay.add(total, relay.multiply(ends[1], part))
        y = relay.right_shift(relay.add(total, relay.const(64)), relay.const(7))
        narrow = call.output.dtype == "int8"
        return base.requantize_expr(y, _FINER if narrow else 0, base.bounds_of(call.output.dtype), call.output.dtype)

    def fields(self, call, c):
        what = "f(x), of every 128th x" if call.inputs[0].dtype == "int16" else "f(x), indexed by x + 128"
        return {"table": c.constant("table", call.attributes["table"], what), **self.types(call)}

    def emit(self, call, c, inputs, output):
        parameters = c.struct(self.c_struct, **self.fields(call, c))
        c.call(self.c_function, inputs[0], call.output.elements, parameters, output)

    def output_range(self, call, inputs):
        return Operator.output_range(self, call, inputs)
