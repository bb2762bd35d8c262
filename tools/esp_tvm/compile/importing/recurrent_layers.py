"""Recurrent layers as one Relay operator each if a kernel may compute them; every other one step by step."""

from __future__ import annotations

import contextlib
from typing import Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np
import tvm
from tvm import relay
from tvm.relay.frontend import onnx as frontend

from ...operators.recurrent import FUNCTIONS, STATES, register
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
    """Whether the kernels can compute it: usual activation functions, all steps of all sequences."""
    if any(_constant(inputs[i]) is None for i in (1, 2)) or (inputs[3] is not None and _constant(inputs[3]) is None):
        return False
    directions = 2 if attr.get("direction") == b"bidirectional" else 1
    usual = [names * directions for names in FUNCTIONS[kind]]
    if attr.get("clip") or attr.get("input_forget") or function_names(kind, attr) not in usual:
        return False
    if inputs[7] is not None:
        return False
    steps = frontend.infer_shape(inputs[0])[0]
    lengths = None if inputs[4] is None else _constant(inputs[4])
    return inputs[4] is None or (lengths is not None and not np.any(lengths != steps))


def _states(kind: str, inputs: List) -> List[Optional[relay.Expr]]:
    """The states before the first step [directions, batch, hidden], None where they are not given or zero; constants as
    floats."""
    return [_real(inputs[5 + place]) for place in range(len(STATES[kind]))]


def _real(state: Optional[relay.Expr]) -> Optional[relay.Expr]:
    values = None if state is None else _constant(state)
    if values is None:
        return state
    if is_call(state, "qnn.dequantize"):
        values = values.astype(np.float32) * state.args[1].data.numpy()
    return relay.const(values) if np.any(values) else None


def _of_direction(state: Optional[relay.Expr], index: int, shape: Sequence[int]) -> relay.Expr:
    """The state [1, batch, hidden] of one direction."""
    if state is None:
        return relay.const(np.zeros(shape, np.float32))
    if isinstance(state, relay.Constant):
        return relay.const(state.data.numpy()[index : index + 1])
    if int(frontend.infer_shape(state)[0]) == 1:
        return state

    def part(x: relay.Expr) -> relay.Expr:
        return relay.strided_slice(x, [index], [index + 1], axes=[0])

    if is_call(state, "qnn.dequantize"):
        return relay.qnn.op.dequantize(part(state.args[0]), *state.args[1:])
    return part(state)


def _converter(kind: str) -> Callable:
    def convert(inputs, attr, params):
        if not _is_plain(kind, inputs, attr):
            return step_by_step(kind, inputs, attr)
        start = _states(kind, inputs)
        started = any(state is not None for state in start)
        op = register(kind, started)
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
                "relu": int(function_names(kind, attr)[0] == "relu"),
            }
            operands = [inputs[0]] + [_direction(part, index) for part in (weights, recurrence, bias)]
            operands += [_of_direction(state, index, shape) for state in start] if started else []
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
