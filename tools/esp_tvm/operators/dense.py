"""Matrix products with constant weights."""

from __future__ import annotations

from typing import Optional

import numpy as np
import onnx

from . import base
from .base import WEIGHTED, Operator, Parsed, Refusal
from .conv import SUM_OF_PRODUCTS, emit_weighted
from .rule import OWN, Facts, Rule, attribute
from .tvm_later import is_op, relay


def _gemm(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if node.input[1] not in facts.constants:
        return "its weights are not constant"
    if attribute(node, "transA", 0):
        return "its input is transposed"
    if len(node.input) > 2 and node.input[2]:
        bias = facts.constants.get(node.input[2])
        if bias is None:
            return "its bias is not constant"
        if bias.size > 1 and (bias.ndim > 1 and bias.shape[:-1] != (1,) * (bias.ndim - 1)):
            return "its bias differs per row"
    return None


def _matmul(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    weights = facts.constants.get(node.input[1])
    if weights is None:
        return "its second operand is not constant, or both are"
    if weights.ndim != 2 or facts.rank(node.input[0]) < 2:
        return "its weights are not a matrix"
    return None


class Dense(Operator):
    """q(act(dense(dq(x), dq(w)) + dq(b))): x [rows, inputs], w [outputs, inputs]."""

    name = "dense"
    order = WEIGHTED
    formula = SUM_OF_PRODUCTS
    rules = (
        Rule("dense", OWN, _gemm, "Gemm", "constant weights"),
        Rule("dense", OWN, _matmul, "MatMul", "constant weights"),
        Rule("", onnx="CumSum", limits="axis constant, at most 256 values along it: a product with a matrix of ones"),
    )

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

    def fields(self, call, c):
        weights = call.attributes["weights"]
        return {
            "rows": call.output.elements // weights.shape[0],
            "inputs": weights.shape[1],
            "outputs": weights.shape[0],
            **emit_weighted(call, c, weights, "[outputs][inputs]"),
        }

    def macs(self, call):
        return call.output.elements * call.attributes["weights"].shape[1]
