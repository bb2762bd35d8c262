"""RNN, GRU and LSTM: int8 weights, int16 state, sigmoid and tanh from tables with interpolation."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple, Union

import numpy as np

from .common import requantize_sum as requantize
from .common import rshift

# Gates before their activation function, and the cell of an LSTM, are int16 at 2^-11; the results of sigmoid and tanh,
# and the hidden state, are int16 at 2^-15.
_ONE = 32768
# One output, or all that are wanted.
Outputs = Union[np.ndarray, Tuple[np.ndarray, ...]]


def _sat16(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -32768, 32767)


def _interpolate(table: np.ndarray, v: np.ndarray) -> np.ndarray:
    """f(v) for v >= 0 (v = min(|v|, 32767)): table int16 [513] at steps of 2^-5, linear between them."""
    v = np.minimum(np.abs(v), 32767)
    index, part = v >> 6, v & 63
    table = table.astype(np.int64)
    return (table[index] * (64 - part) + table[index + 1] * part + 32) >> 6


def _sigmoid(table: np.ndarray, v: np.ndarray) -> np.ndarray:
    """sigmoid(v * 2^-11) at 2^-15; sigmoid(-v) = 1 - sigmoid(v)."""
    positive = _interpolate(table, v)
    return np.where(v >= 0, positive, _ONE - positive)


def _tanh(table: np.ndarray, v: np.ndarray) -> np.ndarray:
    """tanh(v * 2^-11) at 2^-15; tanh(-v) = -tanh(v)."""
    positive = _interpolate(table, v)
    return np.where(v >= 0, positive, -positive)


def _product(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> np.ndarray:
    acc = x.astype(np.int64) @ weights.astype(np.int64).T + bias
    return _sat16(rshift(acc, shift))


def _gates(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, shift: np.ndarray, reverse: bool):
    """The input's part of the gates for each step, in the order in which the steps are computed."""
    for step in range(len(x))[:: -1 if reverse else 1]:
        yield _product(x[step], weights, bias, shift)


def _output(states, cell, reverse: bool, wanted: Sequence[Tuple[str, int, str]]) -> Outputs:
    """states: in the order in which they were computed; cell: the last one; wanted: what, its shift and its width."""

    def one(what: str, shift: int, width: str) -> np.ndarray:
        if what == "sequence":
            return np.stack([_rounded(state, shift, width) for state in states[:: -1 if reverse else 1]])[:, None]
        return _rounded(cell if what == "cell" else states[-1], shift, width)[None]

    made = tuple(one(*each) for each in wanted)
    return made if len(made) > 1 else made[0]


def _rounded(state: np.ndarray, shift: int, width: str) -> np.ndarray:
    kind = np.iinfo(width)
    return requantize(state, shift, (int(kind.min), int(kind.max)), width)


def _start(start, constants, shape, shifts) -> list:
    """The states before the first step: int16 of int8 values with the given right shifts, or zeros."""
    if not shifts:
        return [np.zeros(shape, np.int64)] * 2
    given = iter(start)
    values = [next(given) if constant is None else constant for constant in constants or [None] * len(shifts)]
    return [_sat16(rshift(q[0].astype(np.int64), shift)) for q, shift in zip(values, shifts)]


def rnn(
    x: np.ndarray,
    *start: np.ndarray,
    weights: np.ndarray,
    recurrence: np.ndarray,
    weights_bias: np.ndarray,
    recurrence_bias: np.ndarray,
    weights_shift: np.ndarray,
    recurrence_shift: np.ndarray,
    reverse: bool,
    output: str,
    shift: int,
    tanh_table: Optional[np.ndarray] = None,
    start_shifts: Sequence[int] = (),
    start_constants: Sequence[Optional[np.ndarray]] = (),
    drop: int = 0,
    width: str = "int8",
    further: Sequence[Tuple[str, int, str]] = (),
) -> Outputs:
    """int8 x [steps, batch, inputs] -> int8 [steps, 1, batch, hidden] ("sequence") or [1, batch, hidden] ("hidden").

    weights int8 [hidden, inputs], recurrence int8 [hidden, hidden]; parameters as of `gru`, with one gate
    tanh_table: of the function; without it is a relu, gates and states are at one exponent e_h, and -15 and -11 are e_h
    """
    state = _start(start, start_constants, (x.shape[1], len(recurrence)), start_shifts)[0]
    states = []
    for gates in _gates(x, weights, weights_bias, weights_shift, reverse):
        gates = _sat16(gates + _product(state, recurrence, recurrence_bias, recurrence_shift))
        state = np.maximum(gates, 0) if tanh_table is None else rshift(_tanh(tanh_table, gates), drop)
        states.append(state)
    return _output(states, None, reverse, [(output, shift, width), *further])


def gru(
    x: np.ndarray,
    *start: np.ndarray,
    weights: np.ndarray,
    recurrence: np.ndarray,
    weights_bias: np.ndarray,
    recurrence_bias: np.ndarray,
    weights_shift: np.ndarray,
    recurrence_shift: np.ndarray,
    sigmoid_table: np.ndarray,
    tanh_table: np.ndarray,
    linear_before_reset: bool,
    reverse: bool,
    output: str,
    shift: int,
    start_shifts: Sequence[int] = (),
    start_constants: Sequence[Optional[np.ndarray]] = (),
    drop: int = 0,
    width: str = "int8",
    further: Sequence[Tuple[str, int, str]] = (),
) -> Outputs:
    """int8 x [steps, batch, inputs] -> int8 [steps, 1, batch, hidden] ("sequence") or [1, batch, hidden] ("hidden").

    weights int8 [3 hidden, inputs], recurrence int8 [3 hidden, hidden]: gates z, r, n as in ONNX;
    biases int32 [3 hidden] at e_x + e_w and e_r - 15; shifts [3 hidden]: -11 - e_x - e_w and 4 - e_r;
    shift = e_y + 15
    start: the first state h int8 [1, batch, hidden], or none where it is zero; start_shifts = drop - 15 - e_h;
    start_constants: for each state its int8 values where it is constant, None where it is an input; empty: all are
    width: of the output; x and start may be int16 too (operators `..._s16`)
    drop: states are at 2^(drop - 15), and all that is said of -15 here is then drop - 15: of a start beyond 1
    further: (output, shift, width) of each further output; the result is then a tuple
    """
    batch, hidden = x.shape[1], recurrence.shape[1]
    z_rows, r_rows, n_rows = (slice(i * hidden, (i + 1) * hidden) for i in range(3))
    h = _start(start, start_constants, (batch, hidden), start_shifts)[0]
    states = []

    def recurrent(rows, state):
        return _product(state, recurrence[rows], recurrence_bias[rows], recurrence_shift[rows])

    for gates in _gates(x, weights, weights_bias, weights_shift, reverse):
        z = _sigmoid(sigmoid_table, _sat16(gates[:, z_rows] + recurrent(z_rows, h)))
        r = _sigmoid(sigmoid_table, _sat16(gates[:, r_rows] + recurrent(r_rows, h)))
        if linear_before_reset:
            remembered = rshift(r * recurrent(n_rows, h), 15)
        else:
            remembered = recurrent(n_rows, rshift(r * h, 15))
        n = rshift(_tanh(tanh_table, _sat16(gates[:, n_rows] + remembered)), drop)
        h = _sat16(n + rshift(z * (h - n), 15))
        states.append(h)
    return _output(states, None, reverse, [(output, shift, width), *further])


def lstm(
    x: np.ndarray,
    *start: np.ndarray,
    weights: np.ndarray,
    recurrence: np.ndarray,
    weights_bias: np.ndarray,
    recurrence_bias: np.ndarray,
    weights_shift: np.ndarray,
    recurrence_shift: np.ndarray,
    sigmoid_table: np.ndarray,
    tanh_table: np.ndarray,
    reverse: bool,
    output: str,
    shift: int,
    start_shifts: Sequence[int] = (),
    start_constants: Sequence[Optional[np.ndarray]] = (),
    drop: int = 0,
    width: str = "int8",
    further: Sequence[Tuple[str, int, str]] = (),
) -> Outputs:
    """int8 x [steps, batch, inputs] -> int8 [steps, 1, batch, hidden] ("sequence") or [1, batch, hidden].

    output: "sequence", "hidden" or "cell"; gates i, o, f, c as in ONNX; parameters as of `gru`, with 4 gates;
    shift = e_y + 15, of a cell e_y + 11
    start: the first h and c int8 [1, batch, hidden], or none where both are zero; start_shifts = drop - 15 - e_h and
    -11 - e_c; start_constants as of `gru`
    """
    batch, hidden = x.shape[1], recurrence.shape[1]
    h, c = _start(start, start_constants, (batch, hidden), start_shifts)
    states = []
    for gates in _gates(x, weights, weights_bias, weights_shift, reverse):
        gates = _sat16(gates + _product(h, recurrence, recurrence_bias, recurrence_shift))
        i, o, f, g = (gates[:, k * hidden : (k + 1) * hidden] for k in range(4))
        i, o, f = (_sigmoid(sigmoid_table, gate) for gate in (i, o, f))
        g = _tanh(tanh_table, g)
        c = _sat16(rshift(f * c, 15) + rshift(i * g, 19))
        h = rshift(o * _tanh(tanh_table, c), 15 + drop)
        states.append(h)
    return _output(states, c, reverse, [(output, shift, width), *further])
