"""RNN, GRU and LSTM step by step in Relay's own operators, in every form that ONNX defines (layout 0).

TVM's importer reads neither clip, input_forget, direction (of one), nor lengths of sequences (RNN, LSTM). Formulas: the
operators' text in ONNX's reference. Names: X [T, B, I], W [D, G * H, I], R [D, G * H, H], B [D, 2 * G * H], states
[D, B, H], peepholes [D, 3 * H]; the gates of W, R and B in the order z r h (GRU) or i o f c (LSTM), of peepholes i o f.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from tvm import relay
from tvm.relay.frontend import onnx as frontend

Function = Callable[[relay.Expr], relay.Expr]

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
USUAL_FUNCTIONS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


def _f(value: float) -> relay.Expr:
    return relay.const(np.float32(value))


def _softplus(x: relay.Expr) -> relay.Expr:
    """ln(1 + e^x) without e^x of large x."""
    return relay.nn.relu(x) + relay.log(_f(1) + relay.exp(relay.negative(relay.abs(x))))


def _elu(x: relay.Expr, alpha: float) -> relay.Expr:
    return relay.nn.relu(x) + _f(alpha) * (relay.exp(relay.minimum(x, _f(0))) - _f(1))


# name: (function of x, alpha, beta; alpha and beta where the model gives none, None where it has no such parameter)
FUNCTIONS: Dict[str, Tuple[Callable, Optional[float], Optional[float]]] = {
    "relu": (lambda x, a, b: relay.nn.relu(x), None, None),
    "tanh": (lambda x, a, b: relay.tanh(x), None, None),
    "sigmoid": (lambda x, a, b: relay.sigmoid(x), None, None),
    "softsign": (lambda x, a, b: x / (_f(1) + relay.abs(x)), None, None),
    "softplus": (lambda x, a, b: _softplus(x), None, None),
    "affine": (lambda x, a, b: _f(a) * x + _f(b), 1.0, 0.0),
    "leakyrelu": (lambda x, a, b: relay.nn.leaky_relu(x, a), 0.01, None),
    "thresholdedrelu": (lambda x, a, b: relay.where(relay.greater(x, _f(a)), x, relay.zeros_like(x)), 1.0, None),
    "scaledtanh": (lambda x, a, b: _f(a) * relay.tanh(_f(b) * x), 1.0, 1.0),
    "hardsigmoid": (lambda x, a, b: relay.clip(_f(a) * x + _f(b), 0.0, 1.0), 0.2, 0.5),
    "elu": (lambda x, a, b: _elu(x, a), 1.0, None),
}


def function_names(kind: str, attr: Dict) -> List[str]:
    """The activation functions of all directions, in lower case; ONNX tells capitals apart, ONNX Runtime does not."""
    directions = 2 if attr.get("direction") == b"bidirectional" else 1
    usual = USUAL_FUNCTIONS[kind] * directions
    given = [bytes(name).decode("utf-8", "replace") for name in attr.get("activations", [])] or usual
    # ONNX Runtime's preprocessing writes those of two directions where one needs the first.
    return [name.lower() for name in given[: len(usual)]]


def _functions(kind: str, attr: Dict) -> List[Function]:
    """Each behind the clip of its input; an LSTM's cell is not clipped, as in ONNX Runtime (its third function)."""
    limit, found = float(attr.get("clip", 0.0) or 0.0), []
    names = function_names(kind, attr)
    alphas, betas = (list(np.atleast_1d(attr.get(f"activation_{which}", []))) for which in ("alpha", "beta"))
    # Each takes the next parameter that is left, where it has one; in ONNX Runtime's RNN its own where all have one.
    own = [[j for j, name in enumerate(names) if FUNCTIONS[name][i] is not None] for i in (1, 2)]
    if kind == "RNN":
        alphas, betas = ([v[j] for j in w] if len(v) == len(names) else v for v, w in zip((alphas, betas), own))
    alphas, betas = iter(alphas), iter(betas)
    for place, name in enumerate(names):
        function, alpha, beta = FUNCTIONS[name]
        alpha = None if alpha is None else float(next(alphas, alpha))
        beta = None if beta is None else float(next(betas, beta))
        found.append(_clipped(function, alpha, beta, 0.0 if place % 3 == 2 and kind == "LSTM" else limit))
    return found


def _clipped(function: Callable, alpha: Optional[float], beta: Optional[float], limit: float) -> Function:
    return lambda x: function(relay.clip(x, -limit, limit) if limit else x, alpha, beta)


def _columns(x: relay.Expr, size: int, *places: int) -> List[relay.Expr]:
    """Blocks of `size` columns of a matrix."""
    return [relay.strided_slice(x, begin=[p * size], end=[(p + 1) * size], axes=[1]) for p in places]


def _rows(x: relay.Expr, size: int, begin: int, end: int) -> relay.Expr:
    """The blocks `begin` to `end` of `size` places of the first axis."""
    if isinstance(x, relay.Constant):
        return relay.const(x.data.numpy()[begin * size : end * size])
    return relay.strided_slice(x, begin=[begin * size], end=[end * size], axes=[0])


def _place(x: relay.Expr, index: int) -> relay.Expr:
    """One place of the first axis, which goes away."""
    if isinstance(x, relay.Constant):
        return relay.const(x.data.numpy()[index])
    return relay.take(x, relay.const(index), axis=0, mode="clip")


class _Direction:
    """One direction of a layer. step: the state after a step, from what W and its bias make of X and the one before."""

    def __init__(self, kind: str, inputs: Sequence, index: int, functions: Sequence[Function], attr: Dict):
        self.kind, self.functions, self.gates = kind, functions, _GATES[kind]
        self.hidden = int(frontend.infer_shape(inputs[2])[2])
        self.w, self.r, self.bias, self.peepholes = (
            None if inputs[i] is None else _place(inputs[i], index) for i in (1, 2, 3, 7)
        )
        self.parts: Dict[Tuple[str, int, int], relay.Expr] = {}
        self.linear_before_reset = bool(attr.get("linear_before_reset", 0))
        self.input_forget = bool(attr.get("input_forget", 0))

    def of_inputs(self, x: relay.Expr, steps: int, batch: int) -> relay.Expr:
        """[T, B, G * H]: of all steps at once, the bias of W with it."""
        features = int(frontend.infer_shape(x)[2])
        made = relay.nn.dense(relay.reshape(x, (steps * batch, features)), self.w)
        if self.bias is not None:
            made = made + self._part("bias", 0, self.gates)
        return relay.reshape(made, (steps, batch, self.gates * self.hidden))

    def step(self, x: relay.Expr, state: Tuple[relay.Expr, ...]) -> Tuple[relay.Expr, ...]:
        return {"RNN": self._rnn, "GRU": self._gru, "LSTM": self._lstm}[self.kind](x, *state)

    def _of_state(self, h: relay.Expr, begin: int, end: int) -> relay.Expr:
        """What the gates `begin` to `end` of R and its bias make of a state."""
        made = relay.nn.dense(h, self._part("r", begin, end))
        return made if self.bias is None else made + self._part("bias", self.gates + begin, self.gates + end)

    def _part(self, what: str, begin: int, end: int) -> relay.Expr:
        """What the gates `begin` to `end` have of `r`, `bias` or `peepholes`: one constant for all steps."""
        key = what, begin, end
        if key not in self.parts:
            self.parts[key] = _rows(getattr(self, what), self.hidden, begin, end)
        return self.parts[key]

    def _rnn(self, x, h):
        (f,) = self.functions
        return (f(x + self._of_state(h, 0, 1)),)

    def _gru(self, x, h):
        f, g = self.functions
        z, r = _columns(x, self.hidden, 0, 1)
        of_z, of_r = _columns(self._of_state(h, 0, 2), self.hidden, 0, 1)
        z, r = f(z + of_z), f(r + of_r)
        candidate = r * self._of_state(h, 2, 3) if self.linear_before_reset else self._of_state(r * h, 2, 3)
        candidate = g(_columns(x, self.hidden, 2)[0] + candidate)
        return ((_f(1) - z) * candidate + z * h,)

    def _lstm(self, x, h, c):
        f, g, last = self.functions
        i, o, forget, candidate = _columns(x + self._of_state(h, 0, 4), self.hidden, 0, 1, 2, 3)
        of_i = of_o = of_forget = None
        if self.peepholes is not None:
            of_i, of_o, of_forget = (self._part("peepholes", place, place + 1) for place in range(3))
        i = f(i if of_i is None else i + of_i * c)
        forget = _f(1) - i if self.input_forget else f(forget if of_forget is None else forget + of_forget * c)
        c = forget * c + i * g(candidate)
        o = f(o if of_o is None else o + of_o * c)
        return o * last(c), c


class _Lengths:
    """Whether a step belongs to each sequence: always, never, or a mask [B, 1]."""

    def __init__(self, lengths: Optional[relay.Expr]):
        self.lengths = lengths
        self.values = lengths.data.numpy() if isinstance(lengths, relay.Constant) else None

    def choose(self, step: int, inside: relay.Expr, outside: relay.Expr) -> relay.Expr:
        """`inside` where the sequence has this step, else `outside`."""
        if self.lengths is None:
            return inside
        if self.values is not None:
            mask = step < self.values
            if mask.all() or not mask.any():
                return inside if mask.all() else outside
            return relay.where(relay.const(mask.reshape(-1, 1)), inside, outside)
        dtype = frontend.infer_type(self.lengths).checked_type.dtype
        mask = relay.less(relay.const(np.asarray(step), dtype), self.lengths)
        return relay.where(relay.expand_dims(mask, axis=1), inside, outside)


def step_by_step(kind: str, inputs: Sequence, attr: Dict) -> relay.TupleWrapper:
    """The outputs (Y, Y_h, and Y_c of an LSTM) of a layer with the inputs X, W, R, B, lengths, h, c, P (or None)."""
    inputs = [inputs[i] for i in range(min(len(inputs), 8))] + [None] * (8 - len(inputs))
    x, lengths = inputs[0], _Lengths(inputs[4])
    steps, batch, _ = (int(size) for size in frontend.infer_shape(x))
    functions = _functions(kind, attr)
    directions = [attr.get("direction", b"forward") == b"reverse"]
    if attr.get("direction") == b"bidirectional":
        directions = [False, True]
    sequences, last = [], []
    for index, backwards in enumerate(directions):
        count = len(functions) // len(directions)
        own = functions[index * count : (index + 1) * count]
        direction = _Direction(kind, inputs, index, own, attr)
        zero = relay.const(np.zeros((batch, direction.hidden), np.float32))
        state = tuple(
            zero if start is None else _place(start, index) for start in inputs[5 : 7 if kind == "LSTM" else 6]
        )
        of_inputs = direction.of_inputs(x, steps, batch)
        outputs: List[Optional[relay.Expr]] = [None] * steps
        for step in reversed(range(steps)) if backwards else range(steps):
            after = direction.step(_place(of_inputs, step), state)
            state = tuple(lengths.choose(step, new, old) for new, old in zip(after, state))
            outputs[step] = lengths.choose(step, after[0], zero)
        sequences.append(relay.stack(outputs, axis=0))
        last.append(state)
    results = [relay.stack(sequences, axis=1), *(relay.stack(list(states), axis=0) for states in zip(*last))]
    return relay.TupleWrapper(relay.Tuple(results), len(results))
