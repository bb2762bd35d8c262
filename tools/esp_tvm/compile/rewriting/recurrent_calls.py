"""RNN, GRU and LSTM as one Relay operator each: rewrites of their calls."""

from __future__ import annotations

from typing import List, Optional

import tvm
from tvm import relay

from ...operators.recurrent import KINDS
from .recurrent_steps import step_by_step
from .toolbox import CallRewriter, is_call, rewrite_main, with_args, with_span


class _QuantizeDirections(relay.ExprMutator):
    """quantize(concatenate(directions)) with each direction quantized on its own: the same values, written by the
    kernels."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        x = call.args[0] if call.args else None
        if is_call(call, "qnn.quantize") and is_call(x, "concatenate") and isinstance(x.args[0], relay.Tuple):
            parts = list(x.args[0].fields)
            if all(is_call(part, *KINDS) for part in parts):
                parameters = call.args[1:]
                made = []
                for part in parts:
                    quantized = with_args(call, [self.visit(part), *parameters])
                    real = relay.qnn.op.dequantize(quantized, *parameters)
                    made.append(with_span(real, call.span))
                whole = relay.concatenate(made, axis=int(x.attrs.axis))
                whole = with_span(whole, x.span)
                return with_args(call, [whole, *parameters])
        return super().visit_call(call)


def quantize_directions(mod: tvm.IRModule) -> tvm.IRModule:
    """Let the kernels of both directions write int8."""
    return rewrite_main(mod, _QuantizeDirections()) if _recurrent_calls(mod) else mod


def _recurrent_calls(mod: tvm.IRModule) -> List[relay.Call]:
    found: List[relay.Call] = []
    relay.analysis.post_order_visit(mod["main"].body, lambda e: found.append(e) if is_call(e, *KINDS) else None)
    return found


class _Unroll(CallRewriter):
    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        kind = next((KINDS[name] for name in KINDS if is_call(call, name)), None)
        return self._unrolled(kind, call, args) if kind else None

    @staticmethod
    def _unrolled(kind: str, call: relay.Call, args: List[relay.Expr]) -> relay.Expr:
        names = ("x", "w", "r", "b", "h", "c")
        variables = [relay.var(n, type_annotation=arg.checked_type) for n, arg in zip(names, call.args)]
        attr = {"direction": b"reverse" if int(call.attrs["reverse"]) else b"forward"}
        if kind == "GRU":
            attr["linear_before_reset"] = int(call.attrs["linear_before_reset"])
        if int(call.attrs["relu"]):
            attr["activations"] = [b"Relu"]
        outputs = step_by_step(kind, [*variables[:4], None, *variables[4:]], attr)
        index = ("sequence", "hidden", "cell").index(str(call.attrs["output"]))
        return relay.bind(outputs[index], dict(zip(variables, args)))


def unroll(mod: tvm.IRModule) -> tvm.IRModule:
    """Expand calls without a kernel into Relay's own operators, step by step."""
    return rewrite_main(mod, _Unroll()) if _recurrent_calls(mod) else mod
