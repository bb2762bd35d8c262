"""The parts that rewrites of Relay are made of: recognising calls, calls that keep their span, running a pass."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import tvm
from tvm import relay

QUANTIZE, DEQUANTIZE = "qnn.quantize", "qnn.dequantize"
# What gives the same values, in the same order, another shape.
RESHAPES = ("reshape", "expand_dims", "squeeze", "nn.batch_flatten")


def is_call(expr: relay.Expr, *names: str) -> bool:
    """Whether `expr` calls one of the operators `names`."""
    return isinstance(expr, relay.Call) and isinstance(expr.op, tvm.ir.Op) and expr.op.name in names


def is_constant(expr: relay.Expr) -> bool:
    """A constant, or one behind a dequantize."""
    if is_call(expr, DEQUANTIZE):
        expr = expr.args[0]
    return isinstance(expr, relay.Constant)


def has_one_scale(call: relay.Call) -> bool:
    """Whether a quantize or dequantize has one scale for the whole tensor."""
    return all(isinstance(arg, relay.Constant) and arg.data.numpy().ndim == 0 for arg in call.args[1:3])


def shape_of(expr: relay.Expr) -> Tuple[int, ...]:
    """The shape of an expression whose type is inferred."""
    return tuple(int(dim) for dim in expr.checked_type.shape)


def with_args(call: relay.Call, args: Sequence[relay.Expr]) -> relay.Call:
    """`call` of other arguments."""
    return relay.Call(call.op, list(args), call.attrs, call.type_args, call.span)


def with_span(call: relay.Call, span) -> relay.Call:
    """`call` with the span of the ONNX node that it computes."""
    return relay.Call(call.op, call.args, call.attrs, call.type_args, span)


def permutation(call: relay.Expr) -> Optional[Tuple[int, ...]]:
    """The axes of a transpose, or of a layout_transform that is one; None for anything else."""
    if is_call(call, "transpose"):
        rank = len(call.checked_type.shape)
        if call.attrs.axes is None:
            return tuple(reversed(range(rank)))
        return tuple(int(axis) % rank for axis in call.attrs.axes)
    if is_call(call, "layout_transform"):
        source, target = str(call.attrs.src_layout), str(call.attrs.dst_layout)
        if len(source) == len(target) and sorted(source) == sorted(target) and len(set(source)) == len(source):
            return tuple(source.index(axis) for axis in target)
    return None


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
