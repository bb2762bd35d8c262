"""Properties of Relay expressions that operators and rewrites ask for."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from .tvm_later import relay, tvm

QUANTIZE, DEQUANTIZE = "qnn.quantize", "qnn.dequantize"


# Names of operators, by address: they live as long as TVM does, and each look at one takes a call of its library.
_NAMES: Dict[int, str] = {}


def operator_of(call: relay.Call) -> str:
    """The name of the operator that `call` calls; "" of a function."""
    op = call.op
    name = _NAMES.get(op.handle.value)
    if name is None:
        if not isinstance(op, tvm.ir.Op):
            return ""
        name = _NAMES[op.handle.value] = op.name
    return name


def is_call(expr: relay.Expr, *names: str) -> bool:
    """Whether `expr` calls one of the operators `names`."""
    return isinstance(expr, relay.Call) and operator_of(expr) in names


def is_constant(expr: relay.Expr) -> bool:
    """Whether `expr` is a constant, or a dequantized one."""
    if is_call(expr, DEQUANTIZE):
        expr = expr.args[0]
    return isinstance(expr, relay.Constant)


def parts_of(expr: relay.Expr) -> List[relay.Expr]:
    """The expressions that a call, a tuple or an item of one is made of; none of anything else."""
    if isinstance(expr, relay.Call):
        return list(expr.args)
    if isinstance(expr, relay.Tuple):
        return list(expr.fields)
    return [expr.tuple_value] if isinstance(expr, relay.TupleGetItem) else []


def has_one_scale(call: relay.Call) -> bool:
    """Whether a quantize or dequantize has one scale for the whole tensor."""
    return all(isinstance(arg, relay.Constant) and arg.data.numpy().ndim == 0 for arg in call.args[1:3])


def shape_of(expr: relay.Expr) -> Tuple[int, ...]:
    """The shape of an expression whose type is inferred."""
    return tuple(int(dim) for dim in expr.checked_type.shape)


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
