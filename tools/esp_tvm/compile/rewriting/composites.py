"""Builds the composite functions of kernels, and one global function for each call of them.

They have the form that TVM's MergeComposite and PartitionGraph give to a match: a function `esp.<operator>` of the
tensors it reads, called by a function that is `esp`'s to compile. PartitionGraph's time grows with the square of the
graph's size.
"""

from __future__ import annotations

from typing import Dict, List, Sequence

import tvm
from tvm import relay

from ...operators import OPERATORS, Operator
from ...operators.expressions import parts_of
from .toolbox import Mutator, rewrite_main

COMPILER = "esp"


def as_composite(
    operator: str, root: relay.Call, sources: Sequence[relay.Expr], values: Sequence[relay.Expr]
) -> relay.Call:
    """`root` as a call of a composite function of `sources`, which have become `values`; each value is passed once."""
    parameters: Dict[relay.Expr, relay.Var] = {}
    inside = relay.ExprMutator()
    for source, value in zip(sources, values):
        if value not in parameters:
            name = f"FunctionVar_0_{len(parameters)}"
            parameters[value] = relay.var(name, type_annotation=source.checked_type)
        inside.memo_map[source] = parameters[value]
    function = relay.Function(list(parameters.values()), inside.visit(root))
    function = function.with_attr("Composite", f"{COMPILER}.{operator}")
    function = function.with_attr("PartitionedFromPattern", f"{operator}_")
    return relay.Call(function, list(parameters), span=root.span)


class _Compose(Mutator):
    """Turns every expression that `operator` computes into one composite call."""

    def __init__(self, operator: Operator):
        super().__init__()
        self.operator = operator

    def visit_call(self, call: relay.Call) -> relay.Expr:
        sources = self.operator.sources(call)
        if sources is None:
            return super().visit_call(call)
        return as_composite(self.operator.name, call, sources, [self.visit(source) for source in sources])


def compose(mod: tvm.IRModule) -> tvm.IRModule:
    """Assign expressions that no pattern describes to their kernels; operators in the order of the table."""
    calls = _calls_of(mod)
    for operator in OPERATORS.values():
        if type(operator).sources is Operator.sources or all(operator.sources(call) is None for call in calls):
            continue
        mod = rewrite_main(mod, _Compose(operator))
        calls = _calls_of(mod)
    return mod


def _calls_of(mod: tvm.IRModule) -> List[relay.Call]:
    """The calls in main, without those inside of composite functions."""
    found: Dict[int, relay.Expr] = {}
    todo: List[relay.Expr] = [mod["main"].body]
    while todo:
        expr = todo.pop()
        if expr.handle.value not in found:
            found[expr.handle.value] = expr
            todo.extend(parts_of(expr))
    return [expr for expr in found.values() if isinstance(expr, relay.Call)]


class _AsGlobalFunctions(Mutator):
    """Turns every call of a composite function into one of a global function, which `functions` then has."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: Dict[relay.GlobalVar, relay.Function] = {}

    def visit_call(self, call: relay.Call) -> relay.Expr:
        if not isinstance(call.op, relay.Function):
            return super().visit_call(call)
        given = [arg for arg in call.args if not isinstance(arg, relay.Constant)]
        params = [relay.var(f"x{i}", type_annotation=arg.checked_type) for i, arg in enumerate(given)]
        left = iter(params)
        inner = [arg if isinstance(arg, relay.Constant) else next(left) for arg in call.args]
        symbol = f"tvmgen_default_{COMPILER}_main_{len(self.functions)}"
        function = relay.Function(params, relay.Call(call.op, inner), call.checked_type)
        for name, value in (("Primitive", 1), ("Inline", 1), ("Compiler", COMPILER), ("global_symbol", symbol)):
            function = function.with_attr(name, tvm.tir.IntImm("int32", value) if value == 1 else value)
        variable = relay.GlobalVar(symbol)
        self.functions[variable] = function
        return relay.Call(variable, [self.visit(arg) for arg in given])


def as_global_functions(mod: tvm.IRModule) -> tvm.IRModule:
    """A module whose main calls a global function in place of each composite one; with types."""
    main, mutator = mod["main"], _AsGlobalFunctions()
    body = mutator.visit(main.body)
    functions = {mod.get_global_var("main"): relay.Function(main.params, body, None, main.type_params, main.attrs)}
    return relay.transform.InferType()(tvm.IRModule({**functions, **mutator.functions}, mod.type_definitions))
