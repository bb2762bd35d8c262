"""Operators on two tensors of any shapes that broadcast; one of them may be constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..kernel_limits import KERNEL_LIMITS
from . import base
from .base import BROADCAST, COMPUTED, SEVERAL, Operand, Operator, Parsed, Refusal
from .expressions import is_call
from .rows import SAME_ROW, reach_of_operand
from .rule import OWN, Facts, Rule
from .strides import steps_of
from .tvm_later import is_constant, is_op, relay

MAX_AXES = KERNEL_LIMITS["MAX_RANK"]
# |x| <= 128 shifted by so many bits, twice, still fits int32; and by so many the 16-bit lanes of vectors.
MOST_SHIFT, _VECTOR_SHIFT = 22, 6
SUM_OF_TWO = (
    "both inputs shifted left to the finer of the two exponents `f`, then `sat8(rshift(x1 ± x2, e_y - f))` "
    "(or the larger, the smaller of the two)"
)
PRODUCT_OF_TWO = "`sat8(rshift(x1 * x2, e_y - e_1 - e_2))`"


@dataclass
class _Side:
    """An operand: an activation (`operand`) or a constant (`values`), with its exponent."""

    operand: Optional[Operand]
    values: Optional[np.ndarray]
    exponent: int

    @property
    def shape(self) -> Tuple[int, ...]:
        return self.operand.shape if self.values is None else self.values.shape


def read_side(call: relay.Expr) -> _Side:
    """The operand below a dequantize."""
    if not isinstance(call.args[0], relay.Constant):
        operand = base.read_dequantize(call)
        return _Side(operand, None, operand.exponent)
    constant = base.read_constant(call)
    if constant.values.dtype != np.int8:
        raise Refusal(f"its constant is {constant.values.dtype}; kernels exist for int8")
    if constant.exponents.size != 1:
        raise Refusal("its constant has more than one scale")
    return _Side(None, constant.values, int(constant.exponents.reshape(())))


def broadcast_steps(shape: Sequence[int], sides: Sequence[Sequence[int]]) -> Tuple[List[int], List[List[int]]]:
    """(merged shape, steps of each side along it): the axes of `shape`, merged where all sides allow it."""
    steps = []
    for side in sides:
        padded = [1] * (len(shape) - len(side)) + list(side)
        steps.append([0 if size == 1 else step for size, step in zip(padded, steps_of(padded))])
    merged: List[List[int]] = []
    for size, *axis in zip(shape, *steps):
        if size == 1:
            continue
        if merged and all(outer == inner * size for outer, inner in zip(merged[-1][1:], axis)):
            merged[-1] = [merged[-1][0] * size, *axis]
        else:
            merged.append([size, *axis])
    merged = merged or [[1] + [0] * len(sides)]
    if len(merged) > MAX_AXES:
        raise Refusal(f"its shapes broadcast along {len(merged)} groups of axes, the kernel takes {MAX_AXES}")
    return [axis[0] for axis in merged], [[axis[1 + i] for axis in merged] for i in range(len(sides))]


def _pairs() -> list:
    """The patterns of two operands; a constant needs its own pattern, otherwise it would become an input."""
    constant, activation = base.constant_weights, base.dequantized
    return [(activation(), constant()), (constant(), activation()), (activation(), activation())]


def check_pair(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    """Check: two operands, not both of them constant."""
    if len(node.input) != 2:
        return f"it has {len(node.input)} operands"
    if any(name in facts.constants and facts.constants[name].dtype != np.float32 for name in node.input):
        return "an operand is not float32"
    if all(name in facts.constants for name in node.input):
        return "both its operands are constant"
    return None


class _Broadcast(Operator):
    """q(act(op(dq(a), dq(b)))); never are both constant."""

    order = BROADCAST

    relay_op = ""

    def patterns(self):
        return [base.quantized(base.activated(is_op(self.relay_op)(*pair))) for pair in _pairs()]

    def parse(self, root):
        output = base.read_quantize(root)
        body, clamp = base.strip_activation(root.args[0], output.exponent)
        a, b = (read_side(arg) for arg in body.args)
        attributes = {**self.shifts(a, b, output), "clamp": clamp}
        return self.parsed(a, b, output, attributes)

    @staticmethod
    def parsed(a: _Side, b: _Side, output: Operand, attributes: dict) -> Parsed:
        if a.values is not None and b.values is not None:
            raise Refusal("both its inputs are constant")
        broadcast_steps(output.shape, [a.shape, b.shape])
        for side, first in ((a, True), (b, False)):
            if side.values is not None:
                attributes.update(constant=side.values, constant_first=first)
        return Parsed([side.operand for side in (a, b) if side.operand is not None], output, attributes)

    def shifts(self, a: _Side, b: _Side, output: Operand) -> dict:
        raise NotImplementedError

    def value(self, call, a: relay.Expr, b: relay.Expr) -> relay.Expr:
        """The int32 value before requantization."""
        raise NotImplementedError

    def reference(self, call, *inputs):
        attributes = call.attributes
        value = self.value(call, *both_wide(call, inputs))
        return base.requantize_expr(value, attributes["shift"], attributes["clamp"])

    def reach(self, call):
        height = call.output.shape[1]
        if not _same_for_all_rows(call.attributes.get("constant")):
            return None
        if any(x.shape[1] not in (1, height) for x in call.inputs) or all(x.shape[1] < height for x in call.inputs):
            return None
        return reach_of_operand(call.inputs[0].shape[1], height)

    def emit(self, call, c, inputs, output):
        a = call.attributes
        parameters = c.struct("esp_dl_broadcast_t", **places(call, c, inputs), min=a["clamp"][0], max=a["clamp"][1])
        first, second = operand_names(call, c, inputs)
        c.call(f"esp_dl_{self.name}_s8", first, second, parameters, output)


def _same_for_all_rows(constant: Optional[np.ndarray]) -> bool:
    """Whether a constant operand, if there is one, is the same for all rows of an image."""
    return constant is None or constant.ndim < 3 or constant.shape[-3] == 1


def both_wide(call, inputs: Sequence[relay.Expr]) -> List[relay.Expr]:
    """Both operands as int32."""
    operands = [base.widen(x) for x in inputs]
    constant = call.attributes.get("constant")
    if constant is not None:
        position = 0 if call.attributes["constant_first"] else 1
        operands.insert(position, relay.const(constant.astype(np.int32)))
    return operands


def shifted(call, operands: Sequence[relay.Expr]) -> List[relay.Expr]:
    """Both operands at the finer exponent."""
    shifts = (call.attributes["shift_a"], call.attributes["shift_b"])
    return [relay.left_shift(x, relay.const(shift)) for x, shift in zip(operands, shifts)]


def operand_names(call, c, inputs: Sequence[str]) -> List[str]:
    """The C names of both operands, the constant declared."""
    names = list(inputs)
    constant = call.attributes.get("constant")
    if constant is not None:
        name = c.constant("constant", constant, f"the constant operand {list(constant.shape)}")
        names.insert(0 if call.attributes["constant_first"] else 1, name)
    return names


def operand_shapes(call) -> List[Tuple[int, ...]]:
    """The shapes of both operands."""
    a = call.attributes
    shapes = [tensor.shape for tensor in call.inputs]
    if a.get("constant") is not None:
        shapes.insert(0 if a["constant_first"] else 1, a["constant"].shape)
    return shapes


def places(call, c, inputs) -> dict:
    """The fields of esp_dl_broadcast_t except the bounds."""
    a = call.attributes
    shape, (step_a, step_b) = broadcast_steps(call.output.shape, operand_shapes(call))
    return {
        "rank": len(shape),
        "shape": shape,
        "step_a": step_a,
        "step_b": step_b,
        "shift_a": a.get("shift_a", 0),
        "shift_b": a.get("shift_b", 0),
        "shift": a.get("shift", 0),
    }


def _common_shifts(a, b, most: int = MOST_SHIFT) -> dict:
    finer = min(a.exponent, b.exponent)
    shifts = {"shift_a": a.exponent - finer, "shift_b": b.exponent - finer}
    if max(shifts.values()) > most:
        raise Refusal(f"the exponents {a.exponent} and {b.exponent} of its inputs lie too far apart")
    return shifts


def sum_shifts(a, b, output: Operand, most: int = MOST_SHIFT) -> dict:
    """shift_a, shift_b, shift of a sum of two operands; refused where their exponents lie too far apart.

    An output that is finer than both is shifted before the addition as far as vectors have the bits: the value is the
    same, and a shift to the left afterwards has no kernel for vectors.
    """
    before = _common_shifts(a, b, most)
    shift = max(output.exponent - min(a.exponent, b.exponent), -(16 if output.dtype == "int16" else 8))
    if shift > 30:
        raise Refusal(f"its exponents {a.exponent}, {b.exponent} and {output.exponent} lie too far apart")
    if shift < 0 and max(before.values()) - shift <= _VECTOR_SHIFT:
        before, shift = {name: one - shift for name, one in before.items()}, 0
    return {**before, "shift": shift}


LIMITS = "any broadcasting; one operand may be constant; with a single constant number it becomes a table"


class AddBroadcast(_Broadcast):
    """Both inputs shifted to the finer exponent, added, requantized."""

    name = "add_broadcast"
    formula = SUM_OF_TWO
    also = "Add Sum Gemm ReduceLogSumExp"
    relay_op = "add"

    def shifts(self, a, b, output):
        return sum_shifts(a, b, output)

    def value(self, call, a, b):
        return relay.add(*shifted(call, (a, b)))


class SubBroadcast(AddBroadcast):
    """Both inputs shifted to the finer exponent, subtracted, requantized."""

    name = "sub_broadcast"
    also = "Sub ReduceLogSumExp"
    relay_op = "subtract"

    def value(self, call, a, b):
        return relay.subtract(*shifted(call, (a, b)))


class Maximum(AddBroadcast):
    """Both inputs shifted to the finer exponent, the larger one requantized."""

    name = relay_op = "maximum"
    rules = (Rule("binary", OWN, check_pair, "Max", LIMITS, constants="int8"),)

    def value(self, call, a, b):
        return relay.maximum(*shifted(call, (a, b)))


class Minimum(AddBroadcast):
    """Both inputs shifted to the finer exponent, the smaller one requantized."""

    name = relay_op = "minimum"
    rules = (Rule("binary", OWN, check_pair, "Min", LIMITS, constants="int8"),)

    def value(self, call, a, b):
        return relay.minimum(*shifted(call, (a, b)))


class MulBroadcast(_Broadcast):
    """The product, requantized."""

    name = "mul_broadcast"
    formula = PRODUCT_OF_TWO
    also = "Mul"
    relay_op = "multiply"

    def shifts(self, a, b, output):
        return {"shift": min(max(output.exponent - a.exponent - b.exponent, -8), 16)}

    def value(self, call, a, b):
        return relay.multiply(a, b)


class Div(_Broadcast):
    """The quotient of the integers, scaled and rounded once."""

    name = "div"
    formula = "`sat8(floor(x1 / x2 * 2^(e_1 - e_2 - e_y) + 1/2))`; x / 0 saturates by the sign of x, 0 / 0 gives 0"
    rules = (Rule("binary", OWN, check_pair, "Div", LIMITS, constants="int8"),)
    relay_op = "divide"

    def shifts(self, a, b, output):
        shift = output.exponent - a.exponent + b.exponent
        if abs(shift) > 20:
            raise Refusal(f"its exponents {a.exponent}, {b.exponent} and {output.exponent} lie too far apart")
        return {"shift": shift}

    def reference(self, call, *inputs):
        a, b = both_wide(call, inputs)
        shift, zero = call.attributes["shift"], relay.const(0)
        negative = relay.less(b, zero)
        # Both operands are broadcast first: `where` needs one shape.
        a = relay.add(a, relay.multiply(b, zero))
        b = relay.add(relay.abs(b), relay.multiply(a, zero))
        a = relay.where(negative, relay.negative(a), a)
        divisor = relay.left_shift(b, relay.const(max(shift, 0)))
        numerator = relay.left_shift(a, relay.const(max(-shift, 0)))
        numerator = relay.add(relay.multiply(numerator, relay.const(2)), divisor)
        safe = relay.maximum(relay.multiply(divisor, relay.const(2)), relay.const(1))
        y = relay.clip(relay.floor_divide(numerator, safe), *base.INT8)
        by_zero = relay.where(
            relay.greater(a, zero), relay.full_like(a, relay.const(127)), relay.full_like(a, relay.const(-128))
        )
        by_zero = relay.where(relay.equal(a, zero), a, by_zero)
        y = relay.where(relay.equal(b, zero), by_zero, y)
        return relay.cast(relay.clip(y, *call.attributes["clamp"]), "int8")


def _check_slope(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    return None if node.input[1] in facts.constants else "its slope is not constant"


class PRelu(Operator):
    """q(relu(dq(x)) + min(dq(x), 0) * dq(slope)), the form of PRelu that `rewriting.canonical_forms` gives; slope is
    constant."""

    name = "prelu"
    order = SEVERAL
    formula = "x >= 0: `sat8(rshift(x, e_y - e_x))`; x < 0: `sat8(rshift(x * slope, e_y - e_x - e_slope))`"
    rules = (Rule("shape", OWN, _check_slope, "PRelu", "slope constant", constants="single"),)

    def patterns(self):
        negative = is_op("minimum")(base.dequantized(), is_constant())
        scaled = is_op("multiply")(negative, base.constant_weights())
        return [base.quantized(is_op("add")(is_op("nn.relu")(base.dequantized()), scaled))]

    def parse(self, root):
        output = base.read_quantize(root)
        relu, scaled = sorted(root.args[0].args, key=lambda side: not is_call(side, "nn.relu"))
        minimum = scaled.args[0]
        if not relu.args[0].args[0].same_as(minimum.args[0].args[0]) or minimum.args[1].data.numpy().any():
            raise Refusal("it is not a PRelu")
        x, slope = base.read_dequantize(relu.args[0]), read_side(scaled.args[1])
        broadcast_steps(output.shape, [x.shape, slope.shape])
        if x.shape != output.shape:
            raise Refusal("its slope is larger than its input")
        attributes = {
            "slope": slope.values,
            "shift": min(max(output.exponent - x.exponent, -8), 9),
            "shift_negative": min(max(output.exponent - x.exponent - slope.exponent, -8), 16),
            "clamp": base.INT8,
        }
        return Parsed([x], output, attributes)

    def reference(self, call, x):
        a = call.attributes
        wide = base.widen(x)
        positive = base.requantize_expr(wide, a["shift"], a["clamp"])
        product = relay.multiply(wide, relay.const(a["slope"].astype(np.int32)))
        negative = base.requantize_expr(product, a["shift_negative"], a["clamp"])
        return relay.where(relay.less(wide, relay.const(0)), negative, positive)

    def reach(self, call):
        same = call.inputs[0].shape[1] == call.output.shape[1] and _same_for_all_rows(call.attributes["slope"])
        return SAME_ROW if same else None

    def emit(self, call, c, inputs, output):
        c.call("esp_dl_prelu_s8", *self.arguments(call, c, inputs), output)

    @staticmethod
    def arguments(call, c, inputs: Sequence[str]) -> List[str]:
        """What a kernel takes before its output, all but its scratch memory."""
        a = call.attributes
        shape, (step_x, step_slope) = broadcast_steps(call.output.shape, [call.inputs[0].shape, a["slope"].shape])
        where = {
            "rank": len(shape),
            "shape": shape,
            "step_a": step_x,
            "step_b": step_slope,
            "shift": a["shift"],
            "min": a["clamp"][0],
            "max": a["clamp"][1],
        }
        parameters = c.struct("esp_dl_prelu_t", places=where, shift_negative=a["shift_negative"])
        slope = c.constant("slope", a["slope"], f"slope {list(a['slope'].shape)}")
        return [inputs[0], slope, parameters]


class Compare(Operator):
    """dq(a) compared with dq(b): a tensor of bool, not quantized."""

    name = "compare"
    order = COMPUTED
    formula = "compared after both are shifted left to the finer exponent"
    rules = (
        Rule(
            "compare",
            OWN,
            check_pair,
            "Equal Greater GreaterOrEqual Less LessOrEqual",
            "of two int8 tensors, or one and a constant",
            constants="single",
            compares=True,
        ),
    )
    RELATIONS = ("equal", "greater", "greater_equal", "less", "less_equal")

    def patterns(self):
        return [is_op(relation)(*pair) for relation in self.RELATIONS for pair in _pairs()]

    def parse(self, root):
        a, b = (read_side(arg) for arg in root.args)
        output = Operand(root, root.checked_type.dtype)
        attributes = {"relation": root.op.name, **_common_shifts(a, b)}
        return _Broadcast.parsed(a, b, output, attributes)

    def reference(self, call, *inputs):
        relation = getattr(relay, call.attributes["relation"])
        return relation(*shifted(call, both_wide(call, inputs)))

    def emit(self, call, c, inputs, output):
        fields = places(call, c, inputs)
        names = operand_names(call, c, inputs)
        relation = call.attributes["relation"]
        if relation.startswith("less"):
            # a < b is b > a.
            relation, names = relation.replace("less", "greater"), names[::-1]
            for one, other in (("step_a", "step_b"), ("shift_a", "shift_b")):
                fields[one], fields[other] = fields[other], fields[one]
        parameters = c.struct("esp_dl_broadcast_t", **fields)
        c.call(f"esp_dl_{relation}_s8", names[0], names[1], parameters, output)
