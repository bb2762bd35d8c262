"""MaxUnpool: values back to the places where they were the largest of their windows, zeros elsewhere."""

from __future__ import annotations

from typing import List, Optional

import numpy as np
import onnx

from . import base, relay_op
from .base import COMPUTED, Operand, Operator, Parsed, Refusal
from .rule import INPUT, Facts, Rule
from .tvm_later import frontend, is_constant, is_op, relay, tvm, wildcard

_OP = "esp_tvm.max_unpool"


def _op() -> tvm.ir.Op:
    """The Relay operator of (x, places), attribute `shape`: places in the whole result, all axes counted through."""
    return relay_op.register(_OP, "values at places of a tensor of zeros", "float32", ("x", "places"))


def _import(inputs, attr, params):
    """As ONNX Runtime computes it: places are those of the result, whatever its shape is."""
    x, places, given = [*inputs, None][:3]
    if given is not None and not isinstance(given, relay.Constant):
        raise ValueError("its output_shape is not constant")
    sizes = [int(size) for size in frontend.infer_shape(x)]
    if given is None:
        kernel, rank = [int(v) for v in attr["kernel_shape"]], len(sizes) - 2
        strides, pads = (
            [int(v) for v in attr.get(name) or [default] * n]
            for name, default, n in (("strides", 1, rank), ("pads", 0, 2 * rank))
        )
        image = [
            (size - 1) * stride + window - before - after
            for size, stride, window, before, after in zip(sizes[2:], strides, kernel, pads[:rank], pads[rank:])
        ]
        shape = [*sizes[:2], *image]
    else:
        shape = [int(size) for size in given.data.numpy().reshape(-1)]
    return relay.Call(_op(), [x, places], tvm.ir.make_node("DictAttrs", shape=shape))


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if len(node.input) > 2 and node.input[2] and node.input[2] not in facts.constants:
        return "its output_shape is not constant"
    return "its input is constant" if node.input[0] in facts.constants else None


class MaxUnpool(Operator):
    """q(max_unpool(dq(x), places)), or of float; x and places [N, C, ...] as ONNX has them."""

    name = "max_unpool"
    order = COMPUTED
    formula = (
        "0, and each value at its place in `[n, c, ...]`, all axes counted through; of several the last; `e_y = e_x`"
    )
    rules = (Rule("shape", INPUT, _check, "MaxUnpool", whole=1),)
    converters = {"MaxUnpool": _import}

    def patterns(self):
        _op()
        made = []
        for places in (is_constant, wildcard):
            made += [base.quantized(is_op(_OP)(base.dequantized(), places())), is_op(_OP)(wildcard(), places())]
        return made

    def parse(self, root):
        if root.op.name == "qnn.quantize":
            output, body = base.read_quantize(root), root.args[0]
            x = base.read_dequantize(body.args[0])
            if x.exponent != output.exponent:
                raise Refusal(f"its exponents differ ({x.exponent} and {output.exponent}); values keep theirs")
        else:
            body = root
            x = base.read_dequantize_or_float(body.args[0], "moves")
            if x.dtype != "float32":
                raise Refusal("")
            output = Operand(root, x.dtype)
        places = body.args[1]
        if places.checked_type.dtype != "int64":
            raise Refusal(f"its places are {places.checked_type.dtype}")
        if isinstance(places, relay.Constant):
            return Parsed([x], output, {"places": places.data.numpy(), "shape": list(output.shape)})
        return Parsed([x, Operand(places, "int64")], output, {"shape": list(output.shape)})

    def reference(self, call, x, *given):
        shape, dtype = call.attributes["shape"], call.output.dtype
        size = int(np.prod(shape, dtype=np.int64))
        places = given[0] if given else relay.const(call.attributes["places"], "int64")
        places = relay.where(relay.less(places, relay.const(0, "int64")), places + relay.const(size, "int64"), places)
        places = relay.reshape(relay.clip(places, 0, size - 1), [-1])
        zeros = relay.const(np.zeros(size, dtype))
        return relay.reshape(relay.scatter_elements(zeros, places, relay.reshape(x, [-1]), axis=0), shape)

    def emit(self, call, c, inputs, output):
        names: List[str] = list(inputs)
        if "places" in call.attributes:
            names.append(c.constant("places", call.attributes["places"], "the place of each value in the output"))
        parameters = c.struct(
            "esp_dl_max_unpool_t",
            count=call.inputs[0].elements,
            size=call.output.elements,
            element_size=np.dtype(call.output.dtype).itemsize,
        )
        c.call("esp_dl_max_unpool", *names, parameters, output)
