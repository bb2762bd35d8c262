"""Transpose and reshape: axes change, values do not."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..kernel_limits import KERNEL_LIMITS
from .base import MOVED, MOVES, Operand, Operator, Parsed, Refusal
from .expressions import permutation
from .rule import INPUT, Rule, constant_parameters
from .tvm_later import is_op, relay, wildcard


def int8_operand(expr: relay.Expr, dtypes: Sequence[str] = ("int8",)) -> Operand:
    """An activation that is only moved, of one of `dtypes`."""
    dtype = expr.checked_type.dtype
    if dtype not in dtypes or isinstance(expr, relay.Constant):
        raise Refusal(f"it moves {dtype} values; kernels exist for {', '.join(dtypes)} activations")
    return Operand(expr, dtype)


class _Movement(Operator):
    """All values of the input and no others."""

    def output_range(self, call, inputs):
        return inputs[0]


class Transpose(_Movement):
    """Axes permuted, of pixels (uint8) too."""

    name = "transpose"
    order = MOVED
    formula = MOVES
    rules = (Rule("move", INPUT, None, "Transpose", "at most 6 axes; pairs around a layout change vanish"),)
    dtypes = ("int8", "int16", "uint8")
    MAX_RANK = KERNEL_LIMITS["MAX_RANK"]

    def patterns(self):
        return [is_op("transpose")(wildcard())]

    def parse(self, root):
        x = int8_operand(root.args[0], self.dtypes)
        axes = permutation(root)
        if len(axes) > self.MAX_RANK:
            raise Refusal(f"it has {len(axes)} axes, the kernel takes {self.MAX_RANK}")
        return Parsed([x], Operand(root, x.dtype), {"axes": axes})

    def reference(self, call, x):
        return relay.transpose(x, call.attributes["axes"])

    def emit(self, call, c, inputs, output):
        shape = call.inputs[0].shape
        parameters = c.struct(
            "esp_dl_transpose_t",
            rank=len(shape),
            shape=shape,
            axes=call.attributes["axes"],
            element_size=np.dtype(call.output.dtype).itemsize,
        )
        c.call("esp_dl_transpose", inputs[0], parameters, output)


_SHARED = "no code where the memory can be shared"


class Reshape(_Movement):
    """Another shape of the same bytes: no code if input and output share their memory."""

    name = "reshape"
    order = MOVED
    formula = MOVES
    rules = (
        Rule("move", INPUT, None, "Flatten Identity", _SHARED),
        Rule("move", INPUT, constant_parameters, "Reshape Squeeze Unsqueeze", _SHARED),
    )
    also = "GroupNormalization"
    dtypes = ("int8", "int16")
    in_place = True

    def patterns(self):
        names = ("reshape", "expand_dims", "squeeze", "nn.batch_flatten")
        return [is_op(name)(wildcard()) for name in names]

    def parse(self, root):
        x = int8_operand(root.args[0], self.dtypes)
        output = Operand(root, x.dtype)
        return Parsed([x], output, {"shape": output.shape})

    def reference(self, call, x):
        return relay.reshape(x, call.attributes["shape"])

    def emit(self, call, c, inputs, output):
        c.call("memmove", output, inputs[0], call.output.bytes)
