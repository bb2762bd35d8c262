"""Products of two activations, or of an activation and a stack of constant matrices."""

from __future__ import annotations

import functools
import operator
from typing import Any, Dict, Optional, Tuple

import numpy as np
import onnx

from ..program import Call
from . import base
from .base import WEIGHTED, Operand, Operator, Parsed, Refusal
from .expressions import is_call, permutation
from .rule import OWN, Facts, Rule, attribute
from .tvm_later import is_op, relay

# Axes of a transpose that only swaps the last two.
_SWAPS = ([1, 0], [0, 2, 1], [0, 1, 3, 2], [0, 1, 2, 4, 3])


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    """Check of a product that is not one with a constant matrix, which is `dense`."""
    if node.op_type == "Gemm":
        if len(node.input) > 2 or attribute(node, "transA", 0) or attribute(node, "alpha", 1.0) != 1.0:
            return "it is no plain product of two activations"
    if any(facts.rank(name) < 2 for name in node.input[:2]):
        return "an operand is a vector"
    if all(name in facts.constants for name in node.input[:2]):
        return "both its operands are constant"
    batches = {facts.shapes.get(name, ())[:-2] for name in node.input[:2]}
    if len(batches) > 1:
        return "its operands have different batches"
    return None


class MatMul(Operator):
    """q(act(matmul(dq(a), dq(b)))): a [batch, rows, inner], b [batch, inner, columns] or that transposed."""

    name = "matmul"
    # After dense, which takes products with one constant matrix.
    order = WEIGHTED + 1
    formula = "`sat8(rshift(sum(a * b), e_y - e_a - e_b))`"
    rules = (Rule("real", OWN, _check, "Gemm MatMul", "or two activations"),)

    def patterns(self):
        # A transpose of b alone needs no code: the kernel reads b by columns. Constants are tried first: a wildcard
        # would match them as activations.
        def transposed():
            swaps = [is_op("transpose")(base.wildcard()).has_attr({"axes": axes}) for axes in _SWAPS]
            return base.dequantized(functools.reduce(operator.or_, swaps))

        sides = [
            (base.dequantized, base.constant_weights),
            (base.constant_weights, transposed),
            (base.constant_weights, base.dequantized),
            (base.dequantized, transposed),
            (base.dequantized, base.dequantized),
        ]
        found = []
        for left, right in sides:
            for name in ("nn.batch_matmul", "nn.dense", "nn.matmul"):
                # One pattern object matches one expression: each operand needs its own.
                found.append(base.quantized(base.activated(is_op(name)(left(), right()))))
        return found

    def parse(self, root):
        output = base.read_quantize(root)
        body, clamp = base.strip_activation(root.args[0], output.exponent)
        transpose_b = _reads_by_rows(body)
        (a, left), (b, right) = (_operand(arg) for arg in body.args)
        if a is None and b is None:
            raise Refusal("both its operands are constants")
        exponents = [x.exponent if x is not None else constant[1] for x, constant in ((a, left), (b, right))]
        inputs = [x for x in (a, b) if x is not None]
        if b is not None and _swaps_last(b.expr):
            # The expression below the transpose is the input of the match.
            inputs[-1] = Operand(b.expr.args[0], b.dtype, b.exponent)
            transpose_b = not transpose_b
        if inputs[0].shape[-1:] == () or any(len(x.shape) < 2 for x in inputs):
            raise Refusal("an operand is a vector")
        inner = body.args[0].checked_type.shape[-1]
        if int(inner) * 2**14 + 2**15 > base.INT32_MAX:
            raise Refusal(f"its sums of {int(inner)} products do not fit 32 bits")
        shift = output.exponent - sum(exponents)
        if shift > 30:
            raise Refusal(f"its exponents {exponents[0]}, {exponents[1]} and {output.exponent} lie too far apart")
        attributes = {"shift": max(shift, -8), "transpose_b": transpose_b, "clamp": clamp}
        if left is not None:
            attributes["left"] = left[0]
        if right is not None:
            attributes["right"] = right[0]
        return Parsed(inputs, output, attributes)

    def reference(self, call, *inputs):
        a = call.attributes
        given = iter(inputs)
        left = _wide(a.get("left"), given)
        right = _wide(a.get("right"), given)
        batch, rows, inner, columns = matmul_sizes(call)
        left = relay.reshape(left, (batch, rows, inner))
        right = relay.reshape(right, (batch, columns, inner) if a["transpose_b"] else (batch, inner, columns))
        if not a["transpose_b"]:
            right = relay.transpose(right, [0, 2, 1])
        acc = relay.nn.batch_matmul(left, right, out_dtype="int32")
        return relay.reshape(base.requantize_expr(acc, a["shift"], a["clamp"]), call.output.shape)

    def emit(self, call, c, inputs, output):
        a = call.attributes
        parameters = c.struct("esp_dl_matmul_t", **matmul_fields(call))
        names = list(inputs)
        for position, side in enumerate(("left", "right")):
            if side in a:
                names.insert(position, c.constant("weights", a[side], f"{side} operand {list(a[side].shape)}"))
        c.call("esp_dl_matmul_s8", names[0], names[1], parameters, output)

    def macs(self, call):
        return call.output.elements * matmul_sizes(call)[2]


def _reads_by_rows(body: relay.Call) -> bool:
    """Whether b comes as [columns, inner]."""
    if is_call(body, "nn.dense"):
        return True
    if body.attrs.transpose_a:
        raise Refusal("its first operand is transposed")
    return bool(body.attrs.transpose_b)


def _operand(expr: relay.Call) -> Tuple[Optional[Operand], Optional[tuple]]:
    """(activation, None) or (None, (values, exponent)) of constants."""
    if not isinstance(expr.args[0], relay.Constant):
        return base.read_dequantize(expr), None
    constant = base.read_constant(expr)
    if constant.values.dtype != np.int8:
        raise Refusal(f"its weights are {constant.values.dtype}; kernels exist for int8")
    if constant.exponents.size != 1:
        raise Refusal("its weights have more than one scale")
    return None, (constant.values, int(constant.exponents.reshape(())))


def _swaps_last(expr: relay.Expr) -> bool:
    if not is_call(expr, "transpose"):
        return False
    return list(permutation(expr)) in _SWAPS


def _wide(constant: Optional[np.ndarray], given) -> relay.Expr:
    return base.widen(next(given)) if constant is None else relay.const(constant.astype(np.int32))


def matmul_sizes(call: Call) -> Tuple[int, int, int, int]:
    """(batch, rows, inner, columns)"""
    shape = call.output.shape
    left = call.attributes.get("left")
    inner = (left.shape if left is not None else call.inputs[0].shape)[-1]
    return int(np.prod(shape[:-2], dtype=np.int64)), shape[-2], int(inner), shape[-1]


def matmul_fields(call: Call) -> Dict[str, Any]:
    """The fields of esp_dl_matmul_t."""
    a, (batch, rows, inner, columns) = call.attributes, matmul_sizes(call)
    return {
        "batch": batch,
        "rows": rows,
        "inner": inner,
        "columns": columns,
        "transpose_b": bool(a["transpose_b"]),
        "shift": a["shift"],
        "min": a["clamp"][0],
        "max": a["clamp"][1],
    }
