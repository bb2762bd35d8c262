"""Between float and int8 at the borders of the graph and of float islands."""

from __future__ import annotations

import numpy as np

from . import base
from .base import BORDER, Operand, Operator, Parsed, Refusal
from .tvm_later import relay, wildcard


def quantize_expr(x: relay.Expr, exponent: int, dtype: str = "int8", zero_point: int = 0) -> relay.Expr:
    """sat(floor(x / 2^exponent + 1/2) + zero_point) of float32, as an integer of `dtype`."""
    # Clipped first: a float beyond int32 cannot be rounded to an int32. NaN becomes 0; not found by comparing a number
    # with itself, which LLVM takes for equal where it does not optimize.
    x = relay.where(relay.isnan(x), relay.zeros_like(x), x)
    scaled = relay.multiply(x, relay.const(np.float32(2.0**-exponent)))
    low, high = base.bounds_of(dtype)
    scaled = relay.clip(scaled, 4.0 * low, 4.0 * high)
    # float32 cannot hold x + 1/2 exactly for all x: floor(x) + (x - floor(x) >= 1/2) can.
    floor = relay.floor(scaled)
    up = relay.cast(relay.greater_equal(relay.subtract(scaled, floor), relay.const(np.float32(0.5))), "int32")
    y = relay.add(relay.add(relay.cast(floor, "int32"), up), relay.const(np.int32(zero_point)))
    return relay.cast(relay.clip(y, low, high), dtype)


class Quantize(Operator):
    """sat8(floor(x / 2^e + 1/2) + zero_point), which is 0 but for a centred input (compile/rewriting/layout.py)."""

    name = "quantize"
    order = BORDER
    by_rows = True
    formula = "`sat8(floor(x / 2^e_y + 1/2) + zero_point)`"

    def patterns(self):
        return [base.quantized(wildcard())]

    def parse(self, root):
        output = base.read_quantize(root, self.dtypes, centred=True)
        x = root.args[0]
        dtype = x.checked_type.dtype
        if dtype != "float32" or isinstance(x, relay.Constant):
            raise Refusal(f"it quantizes {dtype}")
        attributes = {"exponent": output.exponent}
        if output.dtype == "int8":
            attributes["zero_point"] = base.zero_point_of(root)
        return Parsed([Operand(x, dtype)], output, attributes)

    def reference(self, call, x):
        a = call.attributes
        return quantize_expr(x, a["exponent"], call.output.dtype, a.get("zero_point", 0))

    def emit(self, call, c, inputs, output):
        a = call.attributes
        c.call("esp_dl_quantize_s8", inputs[0], call.output.elements, a["exponent"], a["zero_point"], output)


class Dequantize(Operator):
    """x * 2^e, exact."""

    name = "dequantize"
    order = BORDER
    by_rows = True
    formula = "`x * 2^e_x` in float32, exact"

    def patterns(self):
        return [base.dequantized()]

    def parse(self, root):
        x = base.read_dequantize(root, self.dtypes)
        output = Operand(root, root.checked_type.dtype)
        if output.dtype != "float32":
            raise Refusal(f"it dequantizes to {output.dtype}")
        return Parsed([x], output, {"exponent": x.exponent})

    def reference(self, call, x):
        return relay.multiply(relay.cast(x, "float32"), relay.const(np.float32(2.0 ** call.attributes["exponent"])))

    def emit(self, call, c, inputs, output):
        exponent = call.attributes["exponent"]
        c.call("esp_dl_dequantize_s8", inputs[0], call.output.elements, exponent, output)


class Pixels(Operator):
    """A uint8 image input in place of a float one: normalized and quantized by a table (compile/planning/ports.py)."""

    name = "pixels"
    order = BORDER
    formula = "a table of 256 entries for each channel, made at export: `quantize(float32((x scale - mean) / std))`"

    def patterns(self):
        return []  # no part of an ONNX model

    def reference(self, call, x):
        table, axis = call.attributes["table"], call.attributes["axis"]
        row = np.zeros(call.output.shape, np.int32)
        if len(table) > 1:
            places = [-1 if one == axis else 1 for one in range(row.ndim)]
            row = row + np.arange(len(table), dtype=np.int32).reshape(places)
        index = relay.add(relay.cast(x, "int32"), relay.const(row * np.int32(256)))
        return relay.take(relay.const(table.reshape(-1)), index)

    def fields(self, call, c):
        table, axis, shape = call.attributes["table"], call.attributes["axis"], call.output.shape
        inner = call.output.elements if len(table) == 1 else int(np.prod(shape[axis + 1 :], dtype=np.int64))
        return {
            "outer": call.output.elements // (len(table) * inner),
            "channels": len(table),
            "inner": inner,
            "table": c.constant("table", table, "what each pixel is worth, by channel"),
        }

    def reach(self, call):
        nhwc = len(call.attributes["table"]) == 1 or call.attributes["axis"] == 3
        return base.SAME_ROW if nhwc else None

    def output_range(self, call, inputs):
        table = call.attributes["table"]
        return int(np.min(table)), int(np.max(table))
