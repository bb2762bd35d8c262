"""Hardmax: 1 at the largest value along an axis, 0 elsewhere."""

from __future__ import annotations

import numpy as np

from . import base
from .base import COMPUTED, Operator, Parsed, Refusal
from .rule import Rule
from .tvm_later import frontend, is_constant, is_op, relay


def _import(inputs, attr, params):
    """1 for the first of the largest values along the middle axis of [outer, size, inner], 0 for all others."""
    kind = frontend.infer_type(inputs[0]).checked_type
    shape = [int(size) for size in kind.shape]
    axis = int(attr.get("axis", -1)) % len(shape)
    # With three axes no layout conversion applies: the expression stays complete.
    x = relay.reshape(inputs[0], [int(np.prod(shape[:axis])), shape[axis], int(np.prod(shape[axis + 1 :]))])
    hit = relay.equal(relay.argmax(x, axis=1, keepdims=True), relay.const(_places(shape[axis])))
    return relay.reshape(relay.where(hit, relay.const(1, kind.dtype), relay.const(0, kind.dtype)), shape)


def _places(size: int) -> np.ndarray:
    """int32 [1, size, 1]: 0, 1, 2, ..."""
    return np.arange(size, dtype=np.int32).reshape(1, -1, 1)


class Hardmax(Operator):
    """q(where(argmax(dq(x)) == places, 1, 0)), as `_import` writes it: [outer, size, inner] along the middle axis."""

    name = "hardmax"
    order = COMPUTED
    in_place = True
    formula = "`sat8(floor(2^-e_y + 1/2))`, which is 1, at the first of the largest values along the axis, 0 elsewhere"
    # 1 is 64 at 2^-6: at a finer exponent it does not fit int8.
    rules = (Rule("shape", -6, None, "Hardmax", "behind a softmax: in float", compares=True, flat_below=13),)
    converters = {"Hardmax": _import}

    def patterns(self):
        place = is_op("argmax")(base.dequantized())
        return [base.quantized(is_op("where")(is_op("equal")(place, is_constant()), is_constant(), is_constant()))]

    def parse(self, root):
        output = base.read_quantize(root)
        hit, one, zero = root.args[0].args
        search, places = hit.args
        x = base.read_dequantize(search.args[0])
        attrs = search.attrs
        if len(x.shape) != 3 or [int(axis) for axis in attrs.axis or ()] != [1] or x.shape != output.shape:
            raise Refusal("")
        if attrs.select_last_index or attrs.exclude or not attrs.keepdims:
            raise Refusal("")
        if np.any(one.data.numpy() != 1) or np.any(zero.data.numpy() != 0):
            raise Refusal("")
        if not np.array_equal(places.data.numpy(), _places(x.shape[1])):
            raise Refusal("")
        return Parsed([x], output, {"one": base.quantize_value(1.0, output.exponent)})

    def reference(self, call, x):
        size = call.inputs[0].shape[1]
        # One number encodes value and position: of equal values the first is the largest.
        both = relay.multiply(base.widen(x), relay.const(np.int32(size)))
        both = relay.add(both, relay.const(size - 1 - _places(size)))
        hit = relay.equal(both, relay.max(both, axis=[1], keepdims=True))
        return relay.where(hit, relay.const(np.int8(call.attributes["one"])), relay.const(np.int8(0)))

    def fields(self, call, c):
        outer, size, inner = call.inputs[0].shape
        return {"outer": outer, "size": size, "inner": inner, "one": call.attributes["one"]}
