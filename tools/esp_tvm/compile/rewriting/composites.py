"""Builds composite functions for operators whose expressions no pattern can describe.

They have the form that MergeComposite gives to a match: a function `esp.<operator>` of the tensors it reads.
"""

from __future__ import annotations

from typing import Dict, List

import tvm
from tvm import relay

from ...operators import OPERATORS, Operator
from .toolbox import rewrite_main

COMPILER = "esp"


class _Compose(relay.ExprMutator):
    """Turns every expression that `operator` computes into one composite call."""

    def __init__(self, operator: Operator):
        super().__init__()
        self.operator = operator

    def visit_call(self, call: relay.Call) -> relay.Expr:
        sources = self.operator.sources(call)
        return super().visit_call(call) if sources is None else self._composite(call, sources)

    def _composite(self, root: relay.Call, sources: List[relay.Expr]) -> relay.Call:
        """`root` as a call of a function of the values of `sources`, each of them passed once."""
        parameters: Dict[relay.Expr, relay.Var] = {}
        inside = relay.ExprMutator()
        for source in sources:
            value = self.visit(source)
            if value not in parameters:
                name = f"FunctionVar_0_{len(parameters)}"
                parameters[value] = relay.var(name, type_annotation=source.checked_type)
            inside.memo_map[source] = parameters[value]
        function = relay.Function(list(parameters.values()), inside.visit(root))
        function = function.with_attr("Composite", f"{COMPILER}.{self.operator.name}")
        function = function.with_attr("PartitionedFromPattern", f"{self.operator.name}_")
        return relay.Call(function, list(parameters), span=root.span)


def compose(mod: tvm.IRModule) -> tvm.IRModule:
    """Assign expressions that no pattern describes to their kernels; operators in the order of the table."""
    for operator in OPERATORS.values():
        if type(operator).sources is not Operator.sources:
            mod = rewrite_main(mod, _Compose(operator))
    return mod
