"""Truth values that are constant as bytes: TVM's C source generator has no constants of type bool inside functions."""

from __future__ import annotations

from typing import Callable, Dict

import numpy as np
import tvm
from tvm import relay

from .toolbox import is_call, rewrite_main, with_args, with_span


def _is_truth(expr: relay.Expr) -> bool:
    return isinstance(expr, relay.Constant) and str(expr.data.dtype) == "bool"


def _byte(expr: relay.Expr) -> relay.Expr:
    if _is_truth(expr):
        return relay.const(expr.data.numpy().astype(np.int8))
    return relay.cast(expr, "int8")


# Of two truth values as bytes: what is not 0 where the operator gives true.
_OF_BYTES: Dict[str, Callable[[relay.Expr, relay.Expr], relay.Expr]] = {
    "logical_and": relay.multiply,
    "logical_or": relay.maximum,
    "logical_xor": relay.subtract,
    "not_equal": relay.subtract,
    "equal": lambda one, other: relay.cast(relay.equal(one, other), "int8"),
}


class _BytesForTruths(relay.ExprMutator):
    def visit_call(self, call: relay.Call) -> relay.Expr:
        args = [self.visit(arg) for arg in call.args]
        if is_call(call, "where") and _is_truth(args[0]):
            # Any type will do: what is not 0 is true.
            return with_args(call, [_byte(args[0]), *args[1:]])
        if is_call(call, *_OF_BYTES) and any(map(_is_truth, args)):
            bytes_ = with_span(_OF_BYTES[call.op.name](*map(_byte, args)), call.span)
            return with_span(relay.not_equal(bytes_, relay.const(np.int8(0))), call.span)
        return relay.Call(self.visit(call.op), args, call.attrs, call.type_args, call.span)


def bytes_for_truths(mod: tvm.IRModule) -> tvm.IRModule:
    """`mod` without constants of type bool where an operator chooses or compares by them."""
    return rewrite_main(mod, _BytesForTruths())
