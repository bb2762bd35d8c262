"""The parts that rewrites of Relay are made of: recognising calls, calls that keep their span, running a pass."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import tvm
from tvm import relay

from ...operators.expressions import (
    DEQUANTIZE,
    QUANTIZE,
    has_one_scale,
    is_call,
    is_constant,
    operator_of,
    permutation,
    shape_of,
)

# Operators that only change the shape: the same values in the same order.
RESHAPES = ("reshape", "expand_dims", "squeeze", "nn.batch_flatten")


class Mutator(relay.ExprMutator):
    """TVM's, which asks for what stands in an expression once: each time that takes a call of its library."""

    def __init__(self) -> None:
        super().__init__()
        # By address; the expression is kept, since an address is only its own while it lives.
        self._visited: Dict[int, Tuple[relay.Expr, relay.Expr]] = {}

    def visit(self, expr: relay.Expr) -> relay.Expr:
        address = expr.handle.value
        known = self._visited.get(address)
        if known is None:
            made = self.visit_call(expr) if isinstance(expr, relay.Call) else super().visit(expr)
            known = self._visited[address] = (expr, made)
        return known[1]

    def visit_call(self, call: relay.Call) -> relay.Expr:
        args = list(call.args)
        return self.with_new(call, args, [self.visit(arg) for arg in args])

    def with_new(self, call: relay.Call, args: Sequence[relay.Expr], new: Sequence[relay.Expr]) -> relay.Call:
        """`call`, whose arguments `args` have become `new` ones: itself where these are the same."""
        op = call.op
        made = op if isinstance(op, tvm.ir.Op) else self.visit(op)
        if same_as(op, made) and all(map(same_as, args, new)):
            return call
        return relay.Call(made, list(new), call.attrs, call.type_args, call.span)


def same_as(one: relay.Expr, other: relay.Expr) -> bool:
    """Whether both are one expression; Python makes a new object at every access."""
    return one.handle.value == other.handle.value


class CallRewriter(Mutator):
    """A pass over all calls, from the arguments up: sub-classes define in `rewrite` what replaces a call."""

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        """What replaces `call` (as it was, with its type), whose arguments have become `args`; None: only they change.

        Unless a sub-class overrides this, its method `_<operator's name>(call, args)` decides, with "_" for each ".".
        """
        name = operator_of(call)
        method = getattr(self, "_" + name.replace(".", "_"), None) if name in self.names else None
        return method(call, args) if method else None

    # The operators that have a method.
    names: Sequence[str] = ()

    def visit_call(self, call: relay.Call) -> relay.Expr:
        args = list(call.args)
        new = [self.visit(arg) for arg in args]
        result = self.rewrite(call, new)
        return self.with_new(call, args, new) if result is None else result


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
    """`mod`, whose types are inferred, with `mutator` applied to its main function; types are inferred again."""
    main = mod["main"]
    body = mutator.visit(main.body)
    if same_as(body, main.body):
        return mod
    new = relay.Function(main.params, body, None, main.type_params, main.attrs)
    mod = tvm.IRModule(dict(mod.functions), mod.type_definitions)
    mod["main"] = new
    return relay.transform.InferType()(mod)


__all__ = [
    "DEQUANTIZE",
    "QUANTIZE",
    "RESHAPES",
    "CallRewriter",
    "Mutator",
    "both_spans",
    "has_one_scale",
    "is_call",
    "is_constant",
    "permutation",
    "rewrite_main",
    "same_as",
    "shape_of",
    "transpose",
    "with_args",
    "with_span",
]
