"""Composite functions made by hand, where a pattern cannot say what belongs together."""

from __future__ import annotations

from tvm import relay

from ..rewriting.toolbox import is_call


def composite(root: relay.Call, name: str, x: relay.Expr, argument: relay.Expr) -> relay.Call:
    """A call with `argument` of a composite function `esp.<name>` that computes `root` from the int8 tensor `x`.

    What MergeComposite would have made if `root` had matched a pattern whose only open end is `x`.
    """
    parameter = relay.var("FunctionVar_0_0", type_annotation=x.checked_type)

    class Bind(relay.ExprMutator):
        def visit_call(self, inner):
            if is_call(inner, "qnn.dequantize") and inner.args[0].same_as(x):
                return relay.Call(inner.op, [parameter, *inner.args[1:]], inner.attrs, None, inner.span)
            return super().visit_call(inner)

    function = relay.Function([parameter], Bind().visit(root)).with_attr("Composite", f"esp.{name}")
    function = function.with_attr("PartitionedFromPattern", f"{name}_")
    return relay.Call(function, [argument], span=root.span)
