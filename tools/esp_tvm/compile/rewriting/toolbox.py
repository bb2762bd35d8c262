"""The parts that rewrites of Relay are made of: recognising calls, calls that keep their span, running a pass."""

from __future__ import annotations

from typing import List, Optional, Sequence

import tvm
from tvm import relay

from ...operators.expressions import DEQUANTIZE, QUANTIZE, has_one_scale, is_call, is_constant, permutation, shape_of

# Operators that only change the shape: the same values in the same order.
RESHAPES = ("reshape", "expand_dims", "squeeze", "nn.batch_flatten")


class CallRewriter(relay.ExprMutator):
    """A pass over all calls, from the arguments up: sub-classes define in `rewrite` what replaces a call."""

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        """What replaces `call` (as it was, with its type), whose arguments have become `args`; None: only they change.

        Unless a sub-class overrides this, its method `_<operator's name>(call, args)` decides, with "_" for each ".".
        """
        if not isinstance(call.op, tvm.ir.Op):
            return None
        method = getattr(self, "_" + call.op.name.replace(".", "_"), None) if call.op.name in self.names else None
        return method(call, args) if method else None

    # The operators that have a method.
    names: Sequence[str] = ()

    def visit_call(self, call: relay.Call) -> relay.Expr:
        args = [self.visit(arg) for arg in call.args]
        result = self.rewrite(call, args)
        if result is None:
            return relay.Call(self.visit(call.op), args, call.attrs, call.type_args, call.span)
        return result


def with_args(call: relay.Call, args: Sequence[relay.Expr]) -> relay.Call:
    """`call` with other arguments."""
    return relay.Call(call.op, list(args), call.attrs, call.type_args, call.span)


def with_span(call: relay.Call, span) -> relay.Call:
    """`call` with the span of the ONNX node that it computes."""
    return relay.Call(call.op, call.args, call.attrs, call.type_args, span)


def both_spans(call: relay.Call, other: relay.Call):
    """The span of a call that computes what `call` and `other` did; `call` comes first."""
    spans = [one for span in (call.span, other.span) if span is not None for one in getattr(span, "spans", [span])]
    return tvm.ir.base.SequentialSpan(spans) if len(spans) > 1 else next(iter(spans), None)


def transpose(x: relay.Expr, axes: Sequence[int], shape: Sequence[int], span=None) -> relay.Expr:
    """`x` of `shape` with its axes permuted: nothing, a reshape (only axes of size 1 move), or a transpose."""
    if list(axes) == list(range(len(axes))):
        return x
    moved = [axis for axis in axes if shape[axis] != 1]
    if moved == sorted(moved):
        return with_span(relay.reshape(x, [int(shape[axis]) for axis in axes]), span)
    return with_span(relay.transpose(x, list(axes)), span)


def rewrite_main(mod: tvm.IRModule, mutator: relay.ExprMutator) -> tvm.IRModule:
    """`mod` with `mutator` applied to its main function and types inferred."""
    main = mod["main"]
    body = mutator.visit(main.body)
    new = relay.Function(main.params, body, None, main.type_params, main.attrs)
    mod = tvm.IRModule(dict(mod.functions), mod.type_definitions)
    mod["main"] = new
    return relay.transform.InferType()(mod)


__all__ = [
    "DEQUANTIZE",
    "QUANTIZE",
    "RESHAPES",
    "CallRewriter",
    "both_spans",
    "has_one_scale",
    "is_call",
    "is_constant",
    "permutation",
    "rewrite_main",
    "shape_of",
    "transpose",
    "with_args",
    "with_span",
]
