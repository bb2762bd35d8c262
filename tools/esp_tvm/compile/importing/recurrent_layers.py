"""GRU and LSTM as one Relay operator each if a kernel may compute them; every other recurrent layer step by step."""

from __future__ import annotations

import contextlib
from typing import Callable, Dict, Iterator, List, Optional

import numpy as np
import tvm
from tvm import relay
from tvm.relay.frontend import onnx as frontend

from ...operators.recurrent import GATES, STATES, register
from ..rewriting.recurrent_steps import USUAL_FUNCTIONS, function_names, step_by_step
from ..rewriting.toolbox import is_call


def _constant(expr: Optional[relay.Expr]) -> Optional[np.ndarray]:
    if is_call(expr, "qnn.dequantize"):
        expr = expr.args[0]
    return expr.data.numpy() if isinstance(expr, relay.Constant) else None


def _direction(expr: relay.Expr, index: int) -> relay.Expr:
    """The part of W, R or B of one direction."""
    if is_call(expr, "qnn.dequantize"):
        values = relay.const(_constant(expr)[index : index + 1])
        return relay.qnn.op.dequantize(values, expr.args[1], expr.args[2], axis=int(expr.attrs.axis))
    return relay.const(_constant(expr)[index : index + 1])


def _is_plain(kind: str, inputs: List, attr: Dict) -> bool:
    """Whether the kernels can compute it: the initial states all zero or all computed, default activation functions,
    all steps of all sequences."""
    if any(_constant(inputs[i]) is None for i in (1, 2)) or (inputs[3] is not None and _constant(inputs[3]) is None):
        return False
    if attr.get("clip") or attr.get("input_forget") or function_names(kind, attr) != function_names(kind, _plain(attr)):
        return False
    if inputs[7] is not None:
        return False
    steps = frontend.infer_shape(inputs[0])[0]
    lengths = None if inputs[4] is None else _constant(inputs[4])
    if inputs[4] is not None and (lengths is None or np.any(lengths != steps)):
        return False
    states = _states(kind, inputs)
    if any(_is_zero(state) for state in states):
        return all(_is_zero(state) for state in states)
    return attr.get("direction") != b"bidirectional" and all(_constant(state) is None for state in states)


def _states(kind: str, inputs: List) -> List[Optional[relay.Expr]]:
    """The states before the first step, None where they are not given."""
    return [inputs[5 + place] for place in range(len(STATES[kind]))]


def _is_zero(state: Optional[relay.Expr]) -> bool:
    return state is None or (_constant(state) is not None and not np.any(_constant(state)))


def _plain(attr: Dict) -> Dict:
    return {"direction": attr.get("direction")}


def _converter(kind: str) -> Callable:
    def convert(inputs, attr, params):
        if kind not in GATES or not _is_plain(kind, inputs, attr):
            return step_by_step(kind, inputs, attr)
        start = [] if _is_zero(_states(kind, inputs)[0]) else _states(kind, inputs)
        op = register(kind, bool(start))
        weights, recurrence, bias = inputs[1], inputs[2], inputs[3]
        if bias is None:
            bias = relay.const(np.zeros((_constant(weights).shape[0], 2 * _constant(weights).shape[1]), np.float32))
        direction = attr.get("direction", b"forward")
        steps, batch, _ = (int(size) for size in frontend.infer_shape(inputs[0]))

        def call(output: str, index: int, reverse: bool) -> relay.Expr:
            shape = [1, batch, _constant(recurrence).shape[2]]
            attrs = {
                "output": output,
                "shape": [steps, *shape] if output == "sequence" else shape,
                "reverse": int(reverse),
                "linear_before_reset": int(attr.get("linear_before_reset", 0)),
            }
            operands = [inputs[0]] + [_direction(part, index) for part in (weights, recurrence, bias)] + start
            return relay.Call(op, operands, tvm.ir.make_node("DictAttrs", **attrs))

        results = []
        for output, axis in (("sequence", 1), ("hidden", 0), ("cell", 0))[: 3 if kind == "LSTM" else 2]:
            if direction == b"bidirectional":
                results.append(relay.concatenate([call(output, 0, False), call(output, 1, True)], axis=axis))
            else:
                results.append(call(output, 0, direction == b"reverse"))
        return relay.TupleWrapper(relay.Tuple(results), len(results))

    return convert


@contextlib.contextmanager
def converters() -> Iterator[None]:
    """Within this context TVM's importer uses this project's converters."""
    original = frontend._get_convert_map

    def convert_map(opset):
        table = original(opset)
        for kind in USUAL_FUNCTIONS:
            table[kind] = _converter(kind)
        return table

    frontend._get_convert_map = convert_map
    try:
        yield
    finally:
        frontend._get_convert_map = original
