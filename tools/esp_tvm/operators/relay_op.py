"""Relay operators of our own, for what Relay has none of that computes the same."""

from __future__ import annotations

import functools
from typing import Tuple

from .tvm_later import relay, tvm


@functools.lru_cache(maxsize=None)
def register(name: str, description: str, dtype: str, arguments: Tuple[str, ...] = ("x",)) -> tvm.ir.Op:
    """The Relay operator `name` of these arguments; its attribute `shape` is the shape of the result, of type dtype."""

    def result_type(_types, attrs):
        # From the attributes alone: the types of the arguments may be unknown when TVM calls this.
        return relay.TensorType([int(size) for size in attrs["shape"]], dtype)

    tvm.ir._ffi_api.RegisterOp(name, description)
    op = tvm.ir.Op.get(name)
    op.set_num_inputs(len(arguments))
    for argument in arguments:
        op.add_argument(argument, "Tensor", argument)
    op.set_attrs_type_key("DictAttrs")
    op.add_type_rel(f"{name}_type", result_type)
    op.set_support_level(10)
    tvm.ir.register_op_attr(name, "TOpPattern", relay.op.OpPattern.OPAQUE)
    return op
