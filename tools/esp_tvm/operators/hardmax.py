"""Hardmax: 1 at the largest value along an axis, 0 elsewhere."""

from __future__ import annotations

import numpy as np

from . import base
from .base import COMPUTED, Operator, Parsed, Refusal
from .reduction import reduced_axes
from .rule import Rule
from .tvm_later import is_constant, is_op, relay


class Hardmax(Operator):
    """q(where(argmax(dq(x)) == places, 1, 0)), as `importing.importer_fixes` writes it; places: 0, 1, ..."""

    name = "hardmax"
    order = COMPUTED
    in_place = True
    formula = "`sat8(floor(2^-e_y + 1/2))`, which is 1, at the first of the largest values along the axis, 0 elsewhere"
    # 1 is 64 at 2^-6: nothing finer holds it.
    rules = (Rule("shape", -6, None, "Hardmax", "behind a softmax: in float", compares=True),)

    def patterns(self):
        place = is_op("argmax")(base.dequantized())
        return [base.quantized(is_op("where")(is_op("equal")(place, is_constant()), is_constant(), is_constant()))]

    def parse(self, root):
        output = base.read_quantize(root)
        hit, one, zero = root.args[0].args
        search, places = hit.args
        x = base.read_dequantize(search.args[0])
        axes = reduced_axes(search.attrs, len(x.shape))
        if len(axes) != 1 or not search.attrs.keepdims or search.attrs.select_last_index:
            raise Refusal("")
        if np.any(one.data.numpy() != 1) or np.any(zero.data.numpy() != 0) or x.shape != output.shape:
            raise Refusal("")
        if not np.array_equal(places.data.numpy(), _places(x.shape, axes[0])):
            raise Refusal("")
        return Parsed([x], output, {"axis": axes[0], "one": base.quantize_value(1.0, output.exponent)})

    def reference(self, call, x):
        a, shape = call.attributes, call.inputs[0].shape
        # One number that holds value and place: of equal values the first is the largest.
        places = relay.const(shape[a["axis"]] - 1 - _places(shape, a["axis"]))
        both = relay.add(relay.multiply(base.widen(x), relay.const(np.int32(shape[a["axis"]]))), places)
        hit = relay.equal(both, relay.max(both, axis=[a["axis"]], keepdims=True))
        return relay.where(hit, relay.const(np.int8(a["one"])), relay.const(np.int8(0)))

    def emit(self, call, c, inputs, output):
        axis, shape = call.attributes["axis"], call.inputs[0].shape
        parameters = c.struct(
            "esp_dl_hardmax_t",
            outer=int(np.prod(shape[:axis], dtype=np.int64)),
            size=shape[axis],
            inner=int(np.prod(shape[axis + 1 :], dtype=np.int64)),
            one=call.attributes["one"],
        )
        c.call("esp_dl_hardmax_s8", inputs[0], parameters, output)


def _places(shape, axis: int) -> np.ndarray:
    """int32 0, 1, 2, ... along one axis of a tensor, of size 1 along the others."""
    return np.arange(shape[axis], dtype=np.int32).reshape([-1 if i == axis else 1 for i in range(len(shape))])
