"""Types of expressions while TVM's ONNX importer makes them.

The importer infers the types of all that a node was computed from, anew for each node: in a network of a thousand nodes
that is most of its time. Here the type of an expression is inferred once, from those of its arguments.
"""

from __future__ import annotations

import contextlib
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np
import tvm
from tvm import relay
from tvm.relay.frontend import onnx as frontend

from ...operators.expressions import operator_of, parts_of


class _KnownTypes:
    """infer: TVM's own function, for what is not made of calls of operators"""

    def __init__(self, infer: Callable):
        self._infer = infer
        # By address; the expression is kept, since an address is only its own while it lives.
        self._known: Dict[int, Tuple[relay.Expr, relay.Expr]] = {}

    def typed(self, expr: relay.Expr, mod: Optional[tvm.IRModule] = None) -> relay.Expr:
        """An expression with the type of `expr`."""
        if mod is not None:
            return self._infer(expr, mod)
        todo = [expr]
        while todo:
            one = todo[-1]
            missing = [part for part in _parts(one) if part.handle.value not in self._known]
            if missing:
                todo.extend(missing)
                continue
            todo.pop()
            if one.handle.value not in self._known:
                self._known[one.handle.value] = (one, self._typed_by_parts(one))
        return self._known[expr.handle.value][1]

    def _typed_by_parts(self, expr: relay.Expr) -> relay.Expr:
        """Types are inferred of a call alone, with variables of the types of its arguments."""
        parts = _parts(expr)
        if not parts:
            return self._infer(expr)
        variables = [self._variable(part) for part in parts]
        if isinstance(expr, relay.Call):
            alone: relay.Expr = relay.Call(expr.op, variables, expr.attrs, expr.type_args)
        elif isinstance(expr, relay.Tuple):
            alone = relay.Tuple(variables)
        else:
            alone = relay.TupleGetItem(variables[0], expr.index)
        try:
            return self._infer(alone)
        except tvm.error.TVMError:
            return self._infer(expr)  # for TVM's message about the whole

    def _variable(self, expr: relay.Expr) -> relay.Expr:
        return relay.var("x", self._known[expr.handle.value][1].checked_type)


class _Folding:
    """Folds constants in what the importer makes of a node; what it made of earlier ones, or has folded, is not looked
    at again.

    fold, set_span: TVM's own functions
    """

    def __init__(self, fold: Callable, set_span: Callable):
        self._fold, self._set_span = fold, set_span
        self._done: Dict[int, relay.Expr] = {}

    def fold(self, expr: relay.Expr, mod: Optional[tvm.IRModule] = None) -> relay.Expr:
        folded = (_folded_shape(expr) or self._fold(expr, mod)) if self._may_fold(expr) else expr
        self._done[folded.handle.value] = folded
        return folded

    def set_span(self, sym, span):
        """Called with all that was made of a node."""
        made = self._set_span(sym, span)
        expr = made.astuple() if isinstance(made, relay.expr.TupleWrapper) else made
        if isinstance(expr, relay.Expr):
            self._done[expr.handle.value] = expr
        return made

    def _may_fold(self, expr: relay.Expr) -> bool:
        # What many others read, such as the state of a step, is looked at once.
        todo, seen = [expr], set()
        while todo:
            one = todo.pop()
            address = one.handle.value
            if address in seen or address in self._done or isinstance(one, (relay.Var, relay.Constant)):
                continue
            seen.add(address)
            if isinstance(one, relay.Call) and isinstance(one.op, tvm.ir.Op):
                parts = parts_of(one)
                if operator_of(one) in _OF_SHAPES or all(map(_is_constant, parts)):
                    return True
                todo.extend(parts)
            elif isinstance(one, relay.Tuple):
                todo.extend(one.fields)
            elif isinstance(one, relay.TupleGetItem) and not isinstance(one.tuple_value, relay.Tuple):
                todo.append(one.tuple_value)
            else:
                return True
        return False


# What TVM folds by shapes alone.
_OF_SHAPES = ("shape_of", "vm.shape_of", "ndarray_size")


def _folded_shape(expr: relay.Expr) -> Optional[relay.Constant]:
    """A shape that is computed from constant ones as the importer does for a MatMul; None: it is something else.

    TVM compiles each operator to compute it: for the shapes of one MatMul that takes a second.
    """
    value = _shape_in(expr) if isinstance(expr, relay.Call) else None
    return None if value is None else relay.const(np.ascontiguousarray(value), str(value.dtype))


def _shape_in(expr: relay.Expr) -> Optional[np.ndarray]:
    if isinstance(expr, relay.Constant):
        value = expr.data.numpy()
        return value if value.ndim == 1 and value.dtype in (np.int32, np.int64) else None
    if not isinstance(expr, relay.Call) or operator_of(expr) not in ("concatenate", "strided_slice", "maximum"):
        return None
    parts = parts_of(expr)
    values = [_shape_in(part) for one in parts for part in (one.fields if isinstance(one, relay.Tuple) else [one])]
    if any(value is None for value in values) or len({value.dtype for value in values}) > 1:
        return None
    if operator_of(expr) == "concatenate":
        return np.concatenate(values)
    if operator_of(expr) == "maximum":
        return np.maximum(*values)
    a = expr.attrs
    ends = [[int(one) for one in each] for each in (a.begin, a.end)]
    if a.slice_mode != "end" or any(len(each) != 1 or each[0] < 0 for each in ends):
        return None
    if (a.strides is not None and list(map(int, a.strides)) != [1]) or a.axes is not None:
        return None
    return values[0][ends[0][0] : ends[1][0]]


def _is_constant(expr: relay.Expr) -> bool:
    if isinstance(expr, relay.Tuple):
        return all(map(_is_constant, expr.fields))
    return isinstance(expr, relay.Constant)


def _parts(expr: relay.Expr) -> List[relay.Expr]:
    """The arguments of an operator's call, or the parts of a tuple; of all else TVM infers the type as a whole."""
    if isinstance(expr, relay.Call) and not isinstance(expr.op, tvm.ir.Op):
        return []
    return parts_of(expr)


@contextlib.contextmanager
def known_types() -> Iterator[None]:
    """While it lasts, the importer infers the type of each expression once, and folds constants where new ones are."""
    infer_type, infer_shape = frontend.infer_type, frontend.infer_shape
    fold_constant, set_span = frontend.fold_constant, frontend.set_span
    types, folding = _KnownTypes(infer_type), _Folding(fold_constant, set_span)

    def shape(expr: relay.Expr, mod: Optional[tvm.IRModule] = None):
        found = types.typed(expr, mod).checked_type
        return frontend.get_const_tuple(found.shape) if hasattr(found, "shape") else found

    frontend.infer_type, frontend.infer_shape = types.typed, shape
    frontend.fold_constant, frontend.set_span = folding.fold, folding.set_span
    try:
        yield
    finally:
        frontend.infer_type, frontend.infer_shape = infer_type, infer_shape
        frontend.fold_constant, frontend.set_span = fold_constant, set_span
