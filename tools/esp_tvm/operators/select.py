"""Where: each value from one of two tensors."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from . import base
from .base import COMPUTED, Operator, Parsed, Refusal
from .broadcasting import broadcast_steps, read_side
from .rule import OWN, Facts, Rule
from .tvm_later import is_constant, is_op, relay, wildcard

# In the order of the arguments: what is constant stands in the attributes by these names.
_ARGUMENTS = ("condition", "a", "b")
# Larger constants leave no step for the values beside them: masks, which `quantize.masks` bounds before a softmax.
_LARGEST = 1e4


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    for name in node.input[1:]:
        constant = facts.constants.get(name)
        if constant is not None and constant.dtype != np.float32:
            return "an operand is not float32"
        if constant is not None and constant.size and not np.abs(constant).max() < _LARGEST:
            return "it fills with a value so large that int8 would hold nothing else"
    if all(name in facts.constants for name in node.input):
        return "all its operands are constant"
    return None


class Select(Operator):
    """q(act(where(condition, dq(a), dq(b)))): any of the three may be constant, and they broadcast."""

    name = "select"
    # Behind functions of one tensor, which may hold such a choice.
    order = COMPUTED + 2
    formula = "where the condition holds `sat8(rshift(a, e_y - e_a))`, elsewhere `sat8(rshift(b, e_y - e_b))`"
    rules = (
        Rule(
            "real",
            OWN,
            _check,
            "Where",
            "any broadcasting; each operand may be constant",
            constants="single",
            whole=0,
        ),
    )

    def patterns(self):
        constant, activation = base.constant_weights, base.dequantized
        # Most constants first: one that is quantized itself looks like an activation, too.
        arguments = [(wildcard, constant, constant)]
        for condition in (is_constant, wildcard):
            for a, b in ((activation, constant), (constant, activation), (activation, activation)):
                arguments.append((condition, a, b))
        return [base.quantized(base.activated(is_op("where")(condition(), a(), b()))) for condition, a, b in arguments]

    def parse(self, root):
        output = base.read_quantize(root)
        body, clamp = base.strip_activation(root.args[0], output.exponent)
        condition, a, b = body.args[0], *map(read_side, body.args[1:])
        attributes: Dict[str, object] = {
            "shift_a": min(max(output.exponent - a.exponent, -8), 9),
            "shift_b": min(max(output.exponent - b.exponent, -8), 9),
            "clamp": clamp,
        }
        inputs = [side.operand for side in (a, b) if side.operand is not None]
        attributes.update({name: side.values for name, side in (("a", a), ("b", b)) if side.values is not None})
        if isinstance(condition, relay.Constant):
            attributes["condition"] = condition.data.numpy() != 0
        elif condition.checked_type.dtype == "bool":
            inputs.insert(0, base.Operand(condition, "bool"))
        else:
            raise Refusal(f"its condition is {condition.checked_type.dtype}")
        if not inputs:
            raise Refusal("all its operands are constant")
        shapes = [tuple(int(size) for size in arg.checked_type.shape) for arg in body.args]
        broadcast_steps(output.shape, shapes)  # refuses too many axes
        return Parsed(inputs, output, attributes)

    @staticmethod
    def _arguments(call, given: Sequence, made) -> List:
        """The three arguments in order: those of `given`, and made(name, constant) of the others."""
        rest = iter(given)
        return [
            next(rest) if call.attributes.get(name) is None else made(name, call.attributes[name])
            for name in _ARGUMENTS
        ]

    def reference(self, call, *inputs):
        attributes = call.attributes
        condition, a, b = self._arguments(call, inputs, lambda _, array: relay.const(array))
        a, b = (
            base.requantize_expr(base.widen(x), attributes[shift], attributes["clamp"])
            for x, shift in ((a, "shift_a"), (b, "shift_b"))
        )
        return relay.where(condition, a, b)

    def emit(self, call, c, inputs, output):
        attributes = call.attributes
        shapes: List[Tuple[int, ...]] = self._arguments(
            call, [x.shape for x in call.inputs], lambda _, array: array.shape
        )
        shape, (step_condition, step_a, step_b) = broadcast_steps(call.output.shape, shapes)
        names = self._arguments(
            call, inputs, lambda name, array: c.constant(name, array.astype(np.int8), f"{name} {list(array.shape)}")
        )
        fields = {
            "rank": len(shape),
            "shape": shape,
            "step_condition": step_condition,
            "step_a": step_a,
            "step_b": step_b,
            "shift_a": attributes["shift_a"],
            "shift_b": attributes["shift_b"],
            "min": attributes["clamp"][0],
            "max": attributes["clamp"][1],
        }
        c.call("esp_dl_select_s8", *names, c.struct("esp_dl_select_t", **fields), output)
