"""Which of a model's nodes TVM has no code for, where it refuses to compile the whole."""

from __future__ import annotations

from typing import List

import tvm
from tvm import relay

from ..errors import UserError
from ..naming import shown
from ..tvm_errors import tvm_reason
from .importing.import_onnx import Imported, node_indices

_WHAT_TO_DO = "export the model without it, or end the model before it (preprocess --end TENSOR)"


def refusal(call: relay.Call, imported: Imported, error: Exception) -> UserError:
    """The error for an operator without a kernel that TVM fails to compile with `error`."""
    nodes = [imported.nodes[index] for index in node_indices(call) if index < len(imported.nodes)]
    named = ", ".join(f"node '{shown(node.name)}' ({node.op_type})" for node in nodes) or "a node of this model"
    operator = getattr(call.op, "name", "it")
    return UserError(f"{named}: no kernel computes {operator}, nor can TVM: {tvm_reason(error)}; {_WHAT_TO_DO}")


def refusal_of_one(mod: tvm.IRModule, imported: Imported, target, error: Exception) -> UserError:
    """The same where TVM compiled all of main at once: of the first operator that it does not compile alone."""
    calls: List[relay.Call] = []
    main = relay.transform.InferType()(mod)["main"]
    relay.analysis.post_order_visit(main.body, lambda e: calls.append(e) if isinstance(e, relay.Call) else None)
    for call in calls:
        if isinstance(call.op, tvm.ir.Op):
            try:
                relay.build(tvm.IRModule.from_expr(_alone(call)), target=target)
            except Exception as own:  # TVM raises many kinds of exceptions.
                return refusal(call, imported, own)
    return UserError(f"TVM cannot compile what has no kernel in this model: {tvm_reason(error)}")


def _alone(call: relay.Call) -> relay.Function:
    """A function of this call, with its constants."""
    variables: List[relay.Var] = []

    def like(part: relay.Expr, kind: tvm.ir.Type) -> relay.Expr:
        if isinstance(part, relay.Constant):
            return part
        if isinstance(kind, tvm.ir.TupleType):
            fields = part.fields if isinstance(part, relay.Tuple) else [None] * len(kind.fields)
            return relay.Tuple([like(field, type_) for field, type_ in zip(fields, kind.fields)])
        variables.append(relay.var(f"x{len(variables)}", type_annotation=kind))
        return variables[-1]

    arguments = [like(argument, argument.checked_type) for argument in call.args]
    return relay.Function(variables, relay.Call(call.op, arguments, call.attrs, call.type_args))


__all__ = ["refusal", "refusal_of_one"]
