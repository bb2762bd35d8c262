"""RNN, GRU and LSTM of one direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from . import base, relay_op
from .base import SEVERAL, STEPS, Operand, Operator, Parsed, Refusal
from .rule import OWN, Facts, Rule, attribute
from .tvm_later import is_constant, is_op, relay, special, tvm

# ONNX operators, and the number of gates of each.
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_LIMITS = "weights constant, usual activations; each direction a kernel"
INT16 = (-32768, 32767)
GATE_EXPONENT, STATE_EXPONENT = -11, -15


# The states of each: of a layer that begins with given ones they are inputs, too.
STATES = {"RNN": ("h",), "GRU": ("h",), "LSTM": ("h", "c")}
# What of a layer is after its last step, as an operator's attribute `output` calls it, and as fields of C do.
OUTPUTS = {"RNN": ("hidden",), "GRU": ("hidden",), "LSTM": ("hidden", "cell")}
_FIELDS = {"sequence": "sequence", "hidden": "last", "cell": "cell"}
# Activation functions that the kernels have, in small letters.
FUNCTIONS = {
    "RNN": (["tanh"], ["relu"]),
    "GRU": (["sigmoid", "tanh"],),
    "LSTM": (["sigmoid", "tanh", "tanh"],),
}


def relay_name(kind: str, started: bool = False) -> str:
    """The Relay operator of an ONNX operator: (x, W, R, B), attributes `output`, `shape`, `reverse`,
    `linear_before_reset`, `relu`; started: and (h), or (h, c), the states before the first step."""
    return f"esp_tvm.{kind.lower()}" + "_started" * started


# Relay operator -> ONNX operator
KINDS = {relay_name(kind, started): kind for kind in GATES for started in (False, True)}


def register(kind: str, started: bool) -> tvm.ir.Op:
    """The Relay operator `relay_name(kind, started)`."""
    description = f"{kind} of one direction from a {'given' if started else 'zero'} state"
    arguments = ("x", "weights", "recurrence", "bias", *(STATES[kind] if started else ()))
    return relay_op.register(relay_name(kind, started), description, "float32", arguments)


def function_table(function) -> np.ndarray:
    """int16[513]: min(floor(f(i / 32) * 2^15 + 1/2), 32767)."""
    values = np.floor(function(np.arange(513) / 32.0) * 2.0**15 + 0.5)
    return np.minimum(values, 32767).astype(np.int16)


def _weights(expr: relay.Expr) -> Tuple[np.ndarray, np.ndarray]:
    """(int8 [gates * hidden, inputs], exponent per row) of W or R; float weights are rounded, row by row."""
    if isinstance(expr, relay.Constant):
        values = expr.data.numpy()[0].astype(np.float64)
        largest = np.maximum(np.abs(values).max(axis=1), 2.0**-40)
        exponents = np.ceil(np.log2(largest / 127)).astype(np.int64)
        return np.floor(values * 2.0 ** -exponents[:, None] + 0.5).clip(-128, 127).astype(np.int8), exponents
    constant = base.read_constant(expr)
    if constant.values.dtype != np.int8:
        raise Refusal(f"its weights are {constant.values.dtype}; kernels exist for int8")
    return constant.values[0], constant.per_channel(1)


def _biases(expr: relay.Expr) -> np.ndarray:
    if isinstance(expr, relay.Constant):
        return expr.data.numpy().reshape(-1).astype(np.float64)
    constant = base.read_constant(expr)
    return constant.values.reshape(-1) * 2.0 ** np.broadcast_to(constant.exponents.reshape(-1), constant.values.size)


def _scaled(weights: np.ndarray, bias: np.ndarray, exponents: np.ndarray, magnitude: int, gate: int):
    """(weights, int32 bias at `exponents`, shift to `gate`, the gates' exponent)"""
    shift = gate - exponents
    if np.any(shift < -8):
        raise Refusal(f"its weights times its input are coarser than 2^{gate + 8}")
    bias = np.floor(bias * 2.0**-exponents + 0.5)
    if np.any(np.abs(bias) > base.INT32_MAX):
        raise Refusal("its bias does not fit 32 bits")
    return base.requantize_shift(weights, bias.astype(np.int64), shift, magnitude)


@dataclass
class _Start:
    """A state before the first step: computed, `operand`, or constant, `values` int8 [1, batch, hidden]."""

    exponent: int
    operand: Optional[Operand] = None
    values: Optional[np.ndarray] = None

    @property
    def state_exponent(self) -> int:
        """Of int16 that covers its range."""
        return self.exponent - (0 if self.operand is not None and self.operand.dtype == "int16" else 8)


def _start(expr: relay.Expr, dtypes: Sequence[str]) -> _Start:
    if not isinstance(expr, relay.Constant):
        operand = base.read_dequantize(expr, dtypes)
        return _Start(operand.exponent, operand)
    values = expr.data.numpy().astype(np.float64)
    exponent = int(np.ceil(np.log2(max(np.abs(values).max(), 2.0**-14) / 127)))
    return _Start(exponent, values=np.floor(values * 2.0**-exponent + 0.5).astype(np.int8))


def _top(x: Operand) -> int:
    """The largest magnitude of its values."""
    return -base.bounds_of(x.dtype)[0]


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if any(name and name not in facts.constants for name in node.input[1:5]):
        return "its weights are not constant"
    if any(node.input[i] for i in (4, 7) if len(node.input) > i):
        return "it has sequence lengths or peepholes"
    directions = 2 if attribute(node, "direction", b"") == b"bidirectional" else 1
    given = [name.decode("utf-8", "replace").lower() for name in attribute(node, "activations") or ()]
    usual = [one * directions for one in FUNCTIONS[node.op_type]]
    if attribute(node, "layout", 0) or attribute(node, "clip") or (given and given not in usual):
        return "its layout, its clip or its activation functions are not the default ones"
    if attribute(node, "input_forget", 0):
        return "its forget gate depends on its input gate (input_forget)"
    return None


class _Recurrent(Operator):
    """q(gru(dq(x))) with the output after every step, or after the last."""

    kind = ""
    order = SEVERAL
    formula = STEPS

    def patterns(self):
        register(self.kind, False)
        register(self.kind, True)
        weights = [base.constant_weights() | is_constant() for _ in range(3)]
        states = [base.dequantized() | is_constant() for _ in STATES[self.kind]]
        return [
            base.quantized(is_op(relay_name(self.kind))(base.dequantized(), *weights)),
            base.quantized(is_op(relay_name(self.kind, started=True))(base.dequantized(), *weights, *states)),
        ]

    def parse(self, root):
        output = base.read_quantize(root, self.dtypes)
        body = root.args[0]
        x = base.read_dequantize(body.args[0], self.dtypes)
        start = [_start(state, self.dtypes) for state in body.args[4:]]
        gate, state_exponent = self.exponents(body, output, start)
        drop = state_exponent - STATE_EXPONENT if self.has_tables(body) else 0
        weights, exponents = _weights(body.args[1])
        recurrence, recurrence_exponents = _weights(body.args[2])
        bias = _biases(body.args[3])
        rows = len(weights)
        weights, weights_bias, weights_shift = _scaled(weights, bias[:rows], exponents + x.exponent, _top(x), gate)
        recurrence, recurrence_bias, recurrence_shift = _scaled(
            recurrence, bias[rows:], recurrence_exponents + state_exponent, 32768, gate
        )
        kind = str(body.attrs["output"])
        shift = output.exponent - (gate if kind == "cell" else state_exponent)
        if not -8 <= shift <= 30:
            raise Refusal(f"the exponent of its output is {output.exponent}, too far from that of its state")
        attributes = {
            "weights": weights,
            "recurrence": recurrence,
            "weights_bias": weights_bias.astype(np.int32),
            "recurrence_bias": recurrence_bias.astype(np.int32),
            "weights_shift": weights_shift,
            "recurrence_shift": recurrence_shift,
            "reverse": bool(int(body.attrs["reverse"])),
            "output": kind,
            "shift": shift,
        }
        attributes.update(self.more(body))
        if start:
            shifts = [own - one.exponent for one, own in zip(start, (state_exponent, gate))]
            if drop > 8 or not all(-16 <= one <= 16 for one in shifts):
                raise Refusal("the exponent of its initial state is too far from those of the kernel's states")
            attributes.update(start_shifts=tuple(shifts), drop=drop)
            if any(one.values is not None for one in start):
                attributes.update(start_constants=tuple(one.values for one in start))
        return Parsed([x, *(one.operand for one in start if one.operand is not None)], output, attributes)

    def has_tables(self, body) -> bool:
        """Whether its functions are tables, whose values are within 1."""
        return True

    def exponents(self, body, output, start) -> Tuple[int, int]:
        """(of its gates and the cell, of the state)"""
        # A layer's own states are within 1; those that it is given may not be.
        return GATE_EXPONENT, max([STATE_EXPONENT, *(one.state_exponent for one in start[:1])])

    def more(self, body) -> dict:
        return {"sigmoid_table": function_table(special.expit), "tanh_table": function_table(np.tanh)}

    def scratch(self, call):
        return 2 * 3 * call.attributes["recurrence"].shape[1]

    def macs(self, call):
        a = call.attributes
        steps, batch, _ = call.inputs[0].shape
        return steps * batch * (a["weights"].size + a["recurrence"].size)

    # --- the reference ---

    def reference(self, call, x, *start):
        a = call.attributes
        steps, batch, inputs = call.inputs[0].shape
        rows, hidden = a["recurrence"].shape
        flat = relay.reshape(base.widen(x), (steps * batch, inputs))
        gates = relay.reshape(_product(flat, a, "weights"), (steps, batch, rows))
        state = self.first(a, start, (batch, hidden))
        outputs = []
        for step in range(steps)[:: -1 if a["reverse"] else 1]:
            own = relay.reshape(relay.take(gates, relay.const(step), axis=0), (batch, rows))
            state = self.step(a, own, state)
            width = call.output.dtype
            outputs.append(base.requantize_expr(self.result(a, state), a["shift"], base.bounds_of(width), width))
        if a["output"] != "sequence":
            return relay.expand_dims(outputs[-1], axis=0)
        return relay.expand_dims(relay.stack(outputs[::-1] if a["reverse"] else outputs, axis=0), axis=1)

    def first(self, a, start, shape):
        """The states before the first step, int32 [batch, hidden]: one, or a pair."""
        if not a.get("start_shifts"):
            states = [relay.const(np.zeros(shape, np.int32)) for _ in STATES[self.kind]]
        else:
            given = iter(start)
            values = [next(given) if constant is None else relay.const(constant) for constant in self._constants(a)]
            states = [
                base.widen(base.requantize_expr(relay.reshape(base.widen(q), shape), shift, INT16, "int16"))
                for q, shift in zip(values, a["start_shifts"])
            ]
        return states[0] if len(states) == 1 else tuple(states)

    def _constants(self, a) -> Sequence[Optional[np.ndarray]]:
        """Of each state its values where it is constant."""
        return a.get("start_constants") or [None] * len(a.get("start_shifts", ()))

    def result(self, a, state):
        return state

    def step(self, a, gates, state):
        raise NotImplementedError

    # --- the C ---

    def emit(self, call, c, inputs, output):
        a = call.attributes
        steps, batch, width = call.inputs[0].shape
        # What: (C name, shift, width).
        further = a.get("further", ())
        written = {a["output"]: (output, a["shift"], a.get("width", "int8"))}
        names = [f"{output}{place}" for place in range(1, 1 + len(further))]
        written.update((what, (name, *rest)) for name, (what, *rest) in zip(names, further))

        def bias(side: str) -> str:
            values = base.rounding_bias(a[f"{side}_bias"], a[f"{side}_shift"])
            return c.constant(f"{side}_bias", values, "with the half that rounding adds")

        def shift(side: str) -> str:
            return c.constant(f"{side}_shift", a[f"{side}_shift"].astype(np.int8), "right shift per row")

        parameters = c.struct(
            "esp_dl_recurrent_t",
            steps=steps,
            batch=batch,
            inputs=width,
            hidden=a["recurrence"].shape[1],
            linear_before_reset=bool(a.get("linear_before_reset", False)),
            reverse=a["reverse"],
            weights=c.constant("weights", a["weights"], "[gates * hidden][inputs]"),
            recurrence=c.constant("recurrence", a["recurrence"], "[gates * hidden][hidden]"),
            weights_bias=bias("weights"),
            recurrence_bias=bias("recurrence"),
            weights_shift=shift("weights"),
            recurrence_shift=shift("recurrence"),
            **{
                name: c.constant(name, a[f"{name}_table"], f"{name}(i / 32) * 2^15")
                for name in ("sigmoid", "tanh")
                if a.get(f"{name}_table") is not None
            },
            **{f"{_FIELDS[what]}_shift": shift for what, (_, shift, _) in written.items()},
            drop=a.get("drop", 0),
            **dict(zip(("start_shift", "start_cell_shift"), a.get("start_shifts", ()))),
            **self.types(call, {_FIELDS[what]: one == "int16" for what, (_, _, one) in written.items()}),
        )
        start = self._started(call, c, inputs[1:])
        wanted = [written[what][0] if what in written else "NULL" for what in ("sequence", *OUTPUTS[self.kind])]
        c.call(self.c_function, inputs[0], *start, parameters, "scratch", *wanted)

    def types(self, call, written: Dict[str, bool]) -> dict:
        """The fields that tell which tensors are int16; written: of each output whether it is."""
        return {}

    def _started(self, call, c, inputs: Sequence[str]) -> List[str]:
        """The C of the states before the first step."""
        given, made = iter(inputs), []
        for name, values in zip(STATES[self.kind], self._constants(call.attributes)):
            if values is None:
                made.append(next(given))
            else:
                made.append(c.constant(f"start_{name}", values, "[batch][hidden]") if np.any(values) else "NULL")
        return made or ["NULL"] * len(STATES[self.kind])


class Rnn(_Recurrent):
    """A layer of one gate: tanh or relu of the sum of what input and state give."""

    name, kind = "rnn", "RNN"
    rules = (Rule("real", OWN, _check, "RNN", "weights constant, tanh or relu; each direction a kernel"),)

    def has_tables(self, body):
        return not int(body.attrs["relu"])

    def exponents(self, body, output, start):
        if self.has_tables(body):
            return super().exponents(body, output, start)
        # Four times the range of the output: what input and state give may cancel out.
        exponent = output.exponent - (6 if output.dtype == "int8" else -2)
        exponent = max([exponent, *(one.state_exponent for one in start)])
        return exponent, exponent

    def more(self, body):
        return {"tanh_table": function_table(np.tanh)} if self.has_tables(body) else {}

    def scratch(self, call):
        return 2 * 2 * call.attributes["recurrence"].shape[1]

    def step(self, a, gates, h):
        gates = _sat16(relay.add(gates, _product(h, a, "recurrence")))
        if a.get("tanh_table") is None:
            return relay.maximum(gates, _const(0))
        h = _tanh(a, gates)
        return _fraction(h, _const(1), a["drop"]) if a.get("drop") else h


class Gru(_Recurrent):
    """Gated recurrent unit."""

    name, kind = "gru", "GRU"
    rules = (Rule("real", OWN, _check, "GRU", _LIMITS),)

    def more(self, body):
        return {**super().more(body), "linear_before_reset": bool(int(body.attrs["linear_before_reset"]))}

    def step(self, a, gates, h):
        remembered = _product(h, a, "recurrence")
        z, r = (_sigmoid(a, _sat16(relay.add(_gate(gates, a, k), _gate(remembered, a, k)))) for k in (0, 1))
        if a["linear_before_reset"]:
            last = _fraction(r, _gate(remembered, a, 2), 15)
        else:
            last = _gate(_product(_fraction(r, h, 15), a, "recurrence"), a, 2)
        n = _tanh(a, _sat16(relay.add(_gate(gates, a, 2), last)))
        if a.get("drop"):
            n = _fraction(n, _const(1), a["drop"])
        return _sat16(relay.add(n, _fraction(z, relay.subtract(h, n), 15)))


class Lstm(_Recurrent):
    """Long short-term memory."""

    name, kind = "lstm", "LSTM"
    rules = (Rule("real", OWN, _check, "LSTM", _LIMITS),)

    def result(self, a, state):
        return state[1] if a["output"] == "cell" else state[0]

    def step(self, a, gates, state):
        h, c = state
        both = _sat16(relay.add(gates, _product(h, a, "recurrence")))
        i, o, f = (_sigmoid(a, _gate(both, a, k)) for k in range(3))
        g = _tanh(a, _gate(both, a, 3))
        c = _sat16(relay.add(_fraction(f, c, 15), _fraction(i, g, 19)))
        return _fraction(o, _tanh(a, c), 15 + a.get("drop", 0)), c


def _product(x: relay.Expr, a: dict, side: str) -> relay.Expr:
    acc = relay.nn.dense(x, relay.const(a[side].astype(np.int32)), out_dtype="int32")
    acc = relay.add(acc, relay.const(a[f"{side}_bias"]))
    return base.widen(base.requantize_expr(acc, a[f"{side}_shift"], INT16, "int16"))


def _gate(gates: relay.Expr, a: dict, number: int) -> relay.Expr:
    hidden = a["recurrence"].shape[1]
    return relay.strided_slice(gates, [number * hidden], [(number + 1) * hidden], [1], axes=[1])


def _sat16(x: relay.Expr) -> relay.Expr:
    return relay.clip(x, *INT16)


def _const(value: int) -> relay.Expr:
    return relay.const(np.int32(value))


def _fraction(a: relay.Expr, b: relay.Expr, places: int) -> relay.Expr:
    return relay.right_shift(relay.add(relay.multiply(a, b), _const(1 << (places - 1))), _const(places))


def _interpolate(table: np.ndarray, v: relay.Expr) -> relay.Expr:
    v = relay.minimum(relay.abs(v), _const(32767))
    index, part = relay.right_shift(v, _const(6)), relay.bitwise_and(v, _const(63))
    values = relay.const(table.astype(np.int32))
    low, high = relay.take(values, index), relay.take(values, relay.add(index, _const(1)))
    total = relay.add(relay.multiply(low, relay.subtract(_const(64), part)), relay.multiply(high, part))
    return relay.right_shift(relay.add(total, _const(32)), _const(6))


def _sigmoid(a: dict, v: relay.Expr) -> relay.Expr:
    positive = _interpolate(a["sigmoid_table"], v)
    return relay.where(relay.greater_equal(v, _const(0)), positive, relay.subtract(_const(32768), positive))


def _tanh(a: dict, v: relay.Expr) -> relay.Expr:
    positive = _interpolate(a["tanh_table"], v)
    return relay.where(relay.greater_equal(v, _const(0)), positive, relay.negative(positive))
