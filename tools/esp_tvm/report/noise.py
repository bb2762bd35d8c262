"""How far the int8 tensors of a quantized model are from those of the float model."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..errors import UserError
from ..model import session
from ..onnx_graph import with_outputs
from ..program.evaluate import Evaluation, in_model_order
from ..program.form import Call, Tensor
from ..quantize.report import noted_noise

BINS = 40
# Values of a tensor that are kept for its histogram.
_KEPT = 60_000
# Rescaling by channel must explain at least so many dB to count as done on purpose (weight equalization).
_RESCALED_DB = 6.0
_MOVES = ("reshape", "transpose")


@dataclass
class TensorNoise:
    """One int8 tensor against the float model, over many samples.

    snr: 10 log10(signal power / noise power) in dB
    What follows is None where only the quantizer's figures are known:
    worst: largest |error|; offset: mean error; both in real units
    rescaled: the quantizer scaled its channels (weight equalization); moved: the constant that it added (so that what
    is never negative uses all of int8). The float tensor is changed likewise before it is compared.
    clipped: share of the float values that lie beyond what the integers hold
    edges, float_counts, int_counts: histogram of both, [BINS + 1], [BINS]
    """

    name: str
    step: int
    title: str
    exponent: Optional[int]
    snr: float
    worst: Optional[float] = None
    offset: Optional[float] = None
    clipped: Optional[float] = None
    rescaled: bool = False
    moved: float = 0.0
    edges: Optional[np.ndarray] = None
    float_counts: Optional[np.ndarray] = None
    int_counts: Optional[np.ndarray] = None


@dataclass
class _Sums:
    """Sums over the samples, per channel (last axis in memory)."""

    step: int
    call: Call
    exponent: int
    ff: np.ndarray
    qq: np.ndarray
    fq: np.ndarray
    f: np.ndarray
    q: np.ndarray
    count: int = 0
    bounds: Optional[np.iinfo] = None
    kept: List[Tuple[np.ndarray, np.ndarray]] = field(default_factory=list)


class FloatModel:
    """The float model in ONNX Runtime, with every tensor in `tensors` that it has as an output."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str]):
        made = {name for node in model.graph.node for name in node.output}
        self.tensors = [name for name in dict.fromkeys(tensors) if name in made]
        self._session = session(with_outputs(model, self.tensors), optimize=True)
        self._inputs = {port.name for port in self._session.get_inputs()}

    def run(self, sample: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Tensors by name."""
        missing = self._inputs - set(sample)
        if missing:
            raise UserError(
                f"the float model's input '{sorted(missing)[0]}' is no input of the quantized one; "
                "give the model it was quantized from"
            )
        feed = {name: sample[name] for name in self._inputs}
        return dict(zip(self.tensors, self._session.run(self.tensors, feed))) if self.tensors else {}


def in_memory(tensor: np.ndarray, like: np.ndarray) -> Optional[np.ndarray]:
    """`tensor`, laid out in the ONNX model's order, in the order of `like`, which holds about the same values.

    The compiler keeps images as NHWC; where shapes leave open which axis is which, the closest order is right.
    """
    if tensor.size != like.size:
        return None
    if tensor.ndim != like.ndim or tensor.ndim > 5:
        return tensor.reshape(like.shape)
    best, best_error = None, np.inf
    for order in itertools.permutations(range(tensor.ndim)):
        if tuple(tensor.shape[axis] for axis in order) == like.shape:
            candidate = tensor.transpose(order)
            error = float(np.sum((candidate - like) ** 2, dtype=np.float64))
            if best is None or error < best_error:
                best, best_error = candidate, error
    return best


def named_calls(
    calls: Sequence[Tuple[int, Call]], outputs: Sequence[str]
) -> Tuple[Dict[str, Tuple[int, Call, Tensor]], Dict[str, str]]:
    """({ONNX tensor: (step, call) that makes it in integers, and as what}, {such a tensor: the model output that it
    is})."""
    # Of several calls that make one tensor (a layout change after it), the first.
    named: Dict[str, Tuple[int, Call, Tensor]] = {}
    for step, call in calls:
        # What only moves values adds no noise, and may leave them in an order that the ONNX model does not know.
        if call.operator in _MOVES:
            continue
        for output in call.outputs:
            if output.name and output.exponent is not None and output.dtype.startswith("int"):
                named.setdefault(output.name, (step, call, output))
    # What the quantizer put a name of its own on, because a model output has the name of the float tensor.
    alias = {call.inputs[0].name: call.output.name for _, call in calls if call.kind == "dequantize"}
    for _, call in calls:
        for output in call.outputs:
            place = output.place
            if place is not None and place.kind == "output" and place.index < len(outputs):
                alias.setdefault(output.name, outputs[place.index])
    return named, alias


def noted(model: onnx.ModelProto, calls: Sequence[Tuple[int, Call]], outputs: Sequence[str]):
    """(noise of the tensors, [(output, dB)], where it was measured) as the quantizer noted it in `model`, or None."""
    found = noted_noise(model)
    if found is None:
        return None
    named, alias = named_calls(calls, outputs)
    tensors = []
    for name, (step, call, tensor) in named.items():
        known = name if name in found.decibels else alias.get(name, name)
        if known in found.decibels:
            title = ", ".join(call.nodes)
            tensors.append(TensorNoise(known, step, title, tensor.exponent, found.decibels[known]))
    own = [(name, found.decibels[name]) for name in outputs if name in found.decibels]
    return sorted(tensors, key=lambda noise: noise.step), own, found.where


class NoiseMeter:
    """Collects the noise of every int8 tensor and of the model's outputs; `calls`: (step, kernel call)."""

    def __init__(self, float_model: onnx.ModelProto, calls: Sequence[Tuple[int, Call]], outputs: Sequence[str] = ()):
        self._calls, self._alias = named_calls(calls, outputs)
        self._float = FloatModel(float_model, [*self._calls, *self._alias.values(), *outputs])
        self._outputs = {name: [0.0, 0.0] for name in outputs if name in self._float.tensors}
        self._sums: Dict[str, _Sums] = {}

    def add(self, sample: Dict[str, np.ndarray], evaluation: Evaluation) -> None:
        """One sample and what the reference computes for it."""
        wanted = {**sample, **self._float.run(sample)}
        for name, powers in self._outputs.items():
            right = np.asarray(wanted[name], dtype=np.float64)
            powers[0] += float((right**2).sum())
            powers[1] += float(((evaluation.outputs[name] - right) ** 2).sum())
        for name, (step, call, tensor) in self._calls.items():
            name = name if name in wanted else self._alias.get(name, name)
            if name in wanted:
                got = in_model_order(tensor, evaluation.values[tensor])
                self._add(name, step, call, tensor.exponent, np.asarray(wanted[name]), got)

    def _add(self, name: str, step: int, call: Call, exponent: int, wanted: np.ndarray, got: np.ndarray) -> None:
        real = got.astype(np.float64) * 2.0**exponent
        wanted = in_memory(wanted.astype(np.float64), real)
        if wanted is None:
            return
        channels = real.shape[-1] if real.ndim > 1 else 1
        f, q = wanted.reshape(-1, channels), real.reshape(-1, channels)
        if name not in self._sums:
            zeros = np.zeros(channels)
            self._sums[name] = _Sums(step, call, exponent, zeros, zeros, zeros, zeros, zeros)
        s = self._sums[name]
        s.ff, s.qq, s.fq = s.ff + (f * f).sum(0), s.qq + (q * q).sum(0), s.fq + (f * q).sum(0)
        s.f, s.q = s.f + f.sum(0), s.q + q.sum(0)
        s.count += q.size
        s.bounds = np.iinfo(got.dtype)
        if sum(a.size for a, _ in s.kept) < _KEPT:
            s.kept.append((f, q))

    def outputs(self) -> List[Tuple[str, float]]:
        """(name, signal-to-noise in dB) of the model's outputs."""
        return [(name, _decibel(*powers)) for name, powers in self._outputs.items()]

    def result(self) -> List[TensorNoise]:
        """In the order of the steps."""
        return sorted((_result(name, s) for name, s in self._sums.items()), key=lambda noise: noise.step)


def _decibel(signal: float, noise: float) -> float:
    if noise <= 0:
        return float("inf")
    return float(10 * np.log10(max(signal, 1e-300) / noise))


def _scaled(s: _Sums, moved: float) -> Tuple[np.ndarray, float]:
    """(the factor of every channel with which factor * float + moved fits int8 best, signal to noise in dB then)."""
    fq = s.fq - moved * s.f
    qq = s.qq - 2 * moved * s.q + s.count / len(s.f) * moved**2
    factor = np.where(s.ff > 0, fq / np.where(s.ff > 0, s.ff, 1), 1.0)
    return factor, _decibel((factor**2 * s.ff).sum(), np.maximum(qq - 2 * factor * fq + factor**2 * s.ff, 0).sum())


def _shift(s: _Sums, exponent: int) -> float:
    """The constant, in whole steps, that the int8 tensor most likely has and the float tensor has not."""
    count = s.count / len(s.f)
    spread = s.ff - s.f**2 / count
    known = spread > 1e-9 * np.maximum(s.ff, 1e-300)
    if not known.any():
        return 0.0
    slope = (s.fq - s.f * s.q / count)[known] / spread[known]
    intercept = (s.q[known] - slope * s.f[known]) / count
    return float(np.round(np.median(intercept) / 2.0**exponent) * 2.0**exponent)


def _result(name: str, s: _Sums) -> TensorNoise:
    exponent = s.exponent
    factor, moved = np.ones_like(s.ff), 0.0
    snr = _decibel(s.ff.sum(), (s.qq - 2 * s.fq + s.ff).sum())
    for tried in (0.0, _shift(s, exponent)):
        scaled, better = _scaled(s, tried)
        if better > max(snr + _RESCALED_DB, 10) and np.all(scaled >= 0):
            factor, moved, snr = scaled, tried, better
    floats = np.concatenate([(f * factor + moved).reshape(-1) for f, _ in s.kept])
    ints = np.concatenate([q.reshape(-1) for _, q in s.kept])
    # Beyond the last integers by more than rounding takes: the zero of what is stored minus a constant is not.
    step = 2.0**exponent
    low, high = (s.bounds.min - 0.501) * step, (s.bounds.max + 0.501) * step
    edges = np.linspace(min(floats.min(), ints.min()), max(floats.max(), ints.max()) + 1e-12, BINS + 1)
    return TensorNoise(
        name=name,
        step=s.step,
        title=", ".join(s.call.nodes),
        exponent=exponent,
        snr=snr,
        worst=float(np.abs(ints - floats).max()),
        offset=float(np.mean(ints - floats)),
        clipped=float(np.mean((floats < low) | (floats > high))),
        rescaled=bool(np.any(np.abs(factor - 1) > 0.2)),
        moved=moved,
        edges=edges,
        float_counts=np.histogram(floats, edges)[0],
        int_counts=np.histogram(ints, edges)[0],
    )
