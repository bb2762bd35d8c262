"""Sums and products of two activations, and relu or clip that are not fused."""

from __future__ import annotations

from . import base
from .base import MOVED, PAIR, Operator, Parsed, Refusal
from .broadcasting import LIMITS, MOST_SHIFT, PRODUCT_OF_TWO, SUM_OF_TWO, check_pair, sum_shifts
from .rule import OWN, Rule, constant_parameters
from .tvm_later import is_op, relay


class _Binary(Operator):
    """q(act(op(dq(a), dq(b)))), a and b of the same shape."""

    order = PAIR
    struct = "binary"

    in_place = True
    by_rows = True
    relay_op = ""

    def patterns(self):
        op = is_op(self.relay_op)(base.dequantized(), base.dequantized())
        return [base.quantized(base.activated(op))]

    def parse(self, root):
        output = base.read_quantize(root, self.dtypes)
        body, clamp = base.strip_activation(root.args[0], output.exponent, base.bounds_of(output.dtype))
        a, b = (base.read_dequantize(arg, self.dtypes) for arg in body.args)
        if a.shape != b.shape:
            raise Refusal(f"its inputs have different shapes, {list(a.shape)} and {list(b.shape)}")
        return Parsed([a, b], output, {**self.shifts(a, b, output), "clamp": clamp})

    def shifts(self, a, b, output) -> dict:
        raise NotImplementedError

    def fields(self, call, c):
        a = call.attributes
        return {
            "count": call.output.elements,
            "shift_a": a.get("shift_a", 0),
            "shift_b": a.get("shift_b", 0),
            "shift": a["shift"],
            "min": a["clamp"][0],
            "max": a["clamp"][1],
        }


class Add(_Binary):
    """Both inputs shifted to the finer exponent, added, requantized."""

    name = relay_op = "add"
    formula = SUM_OF_TWO
    rules = (
        Rule("binary", OWN, check_pair, "Add", LIMITS, constants="int8"),
        Rule("", onnx="Sum", limits=LIMITS),
    )
    also = "Gemm ReduceLogSumExp"
    MAX_SHIFT = MOST_SHIFT

    def shifts(self, a, b, output):
        return sum_shifts(a, b, output, self.MAX_SHIFT)

    def _operands(self, call, a, b):
        shift = call.attributes
        a = relay.left_shift(base.widen(a), relay.const(shift["shift_a"]))
        return a, relay.left_shift(base.widen(b), relay.const(shift["shift_b"]))

    def reference(self, call, a, b):
        total = relay.add(*self._operands(call, a, b))
        return base.requantize_expr(total, call.attributes["shift"], call.attributes["clamp"], call.output.dtype)


class Sub(Add):
    """Both inputs shifted to the finer exponent, subtracted, requantized."""

    name = "sub"
    rules = (Rule("binary", OWN, check_pair, "Sub", LIMITS, constants="int8"),)
    relay_op = "subtract"

    def reference(self, call, a, b):
        difference = relay.subtract(*self._operands(call, a, b))
        return base.requantize_expr(difference, call.attributes["shift"], call.attributes["clamp"], call.output.dtype)


class Mul(_Binary):
    """The product, requantized."""

    name = "mul"
    formula = PRODUCT_OF_TWO
    rules = (
        Rule("binary", OWN, check_pair, "Mul", LIMITS, constants="int8"),
        Rule("", onnx="ReduceProd", limits="of at most 16 values: products of slices"),
    )
    relay_op = "multiply"

    def shifts(self, a, b, output):
        shift, bits = output.exponent - a.exponent - b.exponent, base.widths(a, output)[1]
        if "int16" not in (a.dtype, b.dtype):
            # A product has at most 15 bits: shifted by more than 16 it is 0, by 8 to the left it saturates.
            return {"shift": min(max(shift, -bits), 16)}
        if shift > 30:
            raise Refusal(f"its exponents {a.exponent}, {b.exponent} and {output.exponent} lie too far apart")
        return {"shift": max(shift, -bits)}

    def reference(self, call, a, b):
        product = relay.multiply(base.widen(a), base.widen(b))
        return base.requantize_expr(product, call.attributes["shift"], call.attributes["clamp"], call.output.dtype)


FUSED = "bounds constant; fused into the kernel before it where there is one"


class Requantize(Operator):
    """q(act(dq(x))): a relu or clip that is not fused, or a change of exponent."""

    name = "requantize"
    order = MOVED
    formula = "`sat8(rshift(x, e_y - e_x))`, then the bounds of the relu or clip"
    rules = (
        Rule("clamp", OWN, None, "Relu", FUSED),
        Rule("clamp", OWN, constant_parameters, "Clip", FUSED),
        Rule("", onnx="Cast", limits="of float to float: no code; of uint8, int8, bool to float; others: in float"),
    )
    in_place = True
    by_rows = True

    def patterns(self):
        return [base.quantized(base.activated(base.dequantized()))]

    def parse(self, root):
        output = base.read_quantize(root, self.dtypes)
        body, clamp = base.strip_activation(root.args[0], output.exponent, base.bounds_of(output.dtype))
        x = base.read_dequantize(body, self.dtypes)
        # An int8 value shifted by more than 8 is 0, by 8 to the left it saturates; int16 likewise.
        bits = base.widths(x, output)[1]
        shift = min(max(output.exponent - x.exponent, -bits), 17 if x.dtype == "int16" else 9)
        return Parsed([x], output, {"shift": shift, "clamp": clamp})

    def reference(self, call, x):
        return base.requantize_expr(
            base.widen(x), call.attributes["shift"], call.attributes["clamp"], call.output.dtype
        )

    def fields(self, call, c):
        a = call.attributes
        return {"shift": a["shift"], "min": a["clamp"][0], "max": a["clamp"][1]}

    def emit(self, call, c, inputs, output):
        parameters = c.struct(self.c_struct, **self.fields(call, c))
        c.call(self.c_function, inputs[0], call.output.elements, parameters, output)
