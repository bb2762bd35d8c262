"""Statistics of samples and warnings about doubtful ones: one line per input, then the warnings.

Quantization records in the model what it was calibrated with (`note`); running, evaluating and reporting compare their
samples with this record (`known_inputs`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import onnx

from .model import inputs_of
from .naming import shown
from .onnx_graph import Graph

# Fewer samples than this do not represent what a network will see.
FEW = 20
# Key of the record in an ONNX model's metadata.
NOTE = "esp_tvm.calibration"
# Values that exceed the calibrated range by less than this share of it cause no warning.
_BEYOND = 0.1
# Samples with fewer values than this may well be equal or constant by chance.
_FEW_VALUES = 16
# The number of samples whose order of axes is checked.
_LOOKED_AT = 16
_PROFILE = 16
# By this factor, at least, pictures are smoother in the right order of axes than in a wrong one.
_SMOOTHER = 0.65


@dataclass
class InputFacts:
    """The samples of one input. low, high: the smallest and largest value; constant: the number of samples with a
    single value;

    repeated: samples that equal an earlier one in every input; whole: whether all values are integers; profiles: mean
    along each axis, in at most `_PROFILE` parts; order: what is wrong with the order of its axes
    """

    name: str
    shape: Tuple[int, ...]
    count: int
    low: float
    high: float
    constant: int = 0
    repeated: int = 0
    whole: bool = False
    profiles: List[List[float]] = field(default_factory=list)
    order: Optional[str] = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def looks_like_bytes(self) -> bool:
        """Whether all values are integers from 0 to 255."""
        return self.whole and self.low >= 0.0 and 32.0 < self.high <= 255.0


def digests(samples: Dict[str, Sequence[np.ndarray]]) -> List[bytes]:
    """A digest of each sample over all inputs: equal samples have equal ones."""
    found = []
    for index in range(min(len(array) for array in samples.values())):
        digest = hashlib.sha1()
        for array in samples.values():
            digest.update(np.ascontiguousarray(array[index]).tobytes())
        found.append(digest.digest())
    return found


def examine(samples: Dict[str, Sequence[np.ndarray]]) -> Dict[str, InputFacts]:
    """The facts of each input of `samples` {input: [N, *shape]}, in one pass that keeps no sample."""
    facts: Dict[str, InputFacts] = {}
    sums: Dict[str, np.ndarray] = {}
    count = min(len(array) for array in samples.values())
    looked_at: Dict[str, List[np.ndarray]] = {name: [] for name in samples}
    for index in range(count):
        for name, array in samples.items():
            values = np.asarray(array[index])
            one = facts.setdefault(name, InputFacts(name, values.shape, count, np.inf, -np.inf, whole=True))
            if not values.size:
                continue
            low, high = float(values.min()), float(values.max())
            one.low, one.high = min(one.low, low), max(one.high, high)
            one.constant += low == high and values.size >= _FEW_VALUES
            one.whole = one.whole and bool(np.all(values == np.floor(values)))
            sums[name] = sums.get(name, 0.0) + values.astype(np.float64)
            if index % max(count // _LOOKED_AT, 1) == 0 and len(looked_at[name]) < _LOOKED_AT:
                looked_at[name].append(values)
    repeated = count - len(set(digests(samples)))
    for name, one in facts.items():
        one.repeated = repeated
        if one.size:
            one.profiles = _profiles(sums[name] / count)
            one.order = _doubtful_order(np.stack(looked_at[name]))
    return facts


def _profiles(mean: np.ndarray) -> List[List[float]]:
    """The mean along each axis longer than 1, in at most `_PROFILE` parts; empty for axes of size 1."""
    profiles = []
    for axis in range(mean.ndim):
        line = mean.mean(axis=tuple(a for a in range(mean.ndim) if a != axis))
        parts = np.array_split(line, _PROFILE) if len(line) >= _PROFILE else [line] * (len(line) > 3)
        profiles.append([float(f"{v:.4g}") for v in (p.mean() for p in parts)] if len(parts) > 1 else [])
        if len(parts) == 1:
            profiles[-1] = [float(f"{v:.4g}") for v in line]
    return profiles


def _roughness(images: np.ndarray, axes: Sequence[int]) -> float:
    """Mean square difference of neighbours along axes, relative to twice the variance, summed up."""
    variance = max(2.0 * float(images.var()), 1e-30)
    return sum(float(np.mean(np.square(np.diff(images, axis=axis)))) for axis in axes) / variance


def _doubtful_order(images: np.ndarray) -> Optional[str]:
    """What is wrong with the order of values in pictures [N, 1, C, H, W] or [N, 1, H, W, C]; None for other shapes.

    Neighbouring pixels resemble each other. If they do so only when the same numbers are read in the other order, the
    array was reshaped where a transpose was needed.
    """
    if images.ndim != 5 or images.shape[1] != 1 or images.dtype.kind == "b" or images.var() == 0.0:
        return None
    images = images[:, 0].astype(np.float64)
    n, a, b, c = images.shape
    if a in (2, 3, 4) and min(b, c) >= 8:
        own, turned = _roughness(images, (2, 3)), _roughness(images.reshape(n, b, c, a), (1, 2))
        has, wants, order = "channels last", "channels first", "(0, 3, 1, 2)"
    elif c in (2, 3, 4) and min(a, b) >= 8:
        own, turned = _roughness(images, (1, 2)), _roughness(images.reshape(n, c, a, b), (2, 3))
        has, wants, order = "channels first", "channels last", "(0, 2, 3, 1)"
    else:
        return None
    if turned < _SMOOTHER * own:
        return (
            f"its values lie {has} in a shape that is {wants}: reshaped where numpy.transpose{order} was needed; its "
            "axes are swapped"
        )
    return None


# --- what the model was calibrated with -------------------------------------------------------------------


@dataclass
class Known:
    """What a model records about an input. low, high: the calibrated range; profiles: see `InputFacts`."""

    low: float
    high: float
    profiles: List[List[float]] = field(default_factory=list)
    whole: bool = False


def note(model: onnx.ModelProto, facts: Dict[str, InputFacts]) -> None:
    """Record the statistics of the calibration samples in the metadata of `model`."""
    value = {
        name: {"low": one.low, "high": one.high, "whole": one.whole, "profiles": one.profiles, "samples": one.count}
        for name, one in facts.items()
        if one.size
    }
    kept = [entry for entry in model.metadata_props if entry.key != NOTE]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=NOTE, value=json.dumps(value, sort_keys=True))


def known_inputs(model: onnx.ModelProto) -> Dict[str, Known]:
    """What the inputs of `model` were calibrated with; derived from the scale of its inputs if it has no record."""
    for entry in model.metadata_props:
        if entry.key == NOTE:
            noted = _read_note(entry.value)
            if noted:
                return noted
    graph, known = Graph(model), {}
    for name, _, dtype in inputs_of(model):
        users = graph.consumers(name)
        if dtype != "float32" or len(users) != 1 or users[0].op_type != "QuantizeLinear" or len(users[0].input) < 3:
            continue
        scale, zero = (graph.constant(part) for part in users[0].input[1:3])
        if scale is None or zero is None:
            continue
        if scale.size == 1 and zero.size == 1 and scale.reshape(()) > 0:
            limits = np.iinfo(zero.dtype)
            real = (np.array([limits.min, limits.max], np.float64) - float(zero.reshape(()))) * float(scale.reshape(()))
            known[name] = Known(float(real[0]), float(real[1]))
    return known


def _read_note(text: str) -> Dict[str, Known]:
    """The record, if it is well-formed; a file may hold anything."""
    try:
        entries = json.loads(text)
        return {
            str(name): Known(float(e["low"]), float(e["high"]), list(e.get("profiles", [])), bool(e.get("whole")))
            for name, e in entries.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


# --- what people read -------------------------------------------------------------------------------------


def describe(what: str, facts: Dict[str, InputFacts]) -> List[str]:
    """A line per input. what: the role of the samples, such as "calibration"."""
    lines = []
    for one in facts.values():
        shape = "x".join(map(str, one.shape)) or "one value"
        values = f"{one.low:g} to {one.high:g}" if one.size else "no values"
        count = f"{one.count} sample{'s' * (one.count != 1)}"
        lines.append(
            f"{what}: input '{shown(one.name, 40)}' ({shape}): {count}, {values}, {one.constant} constant, "
            f"{one.repeated} repeated"
        )
    return lines


def warnings(
    what: str,
    facts: Dict[str, InputFacts],
    known: Optional[Dict[str, Known]] = None,
    rounding: Mapping[str, float] = {},  # noqa: B006
) -> List[str]:
    """Warnings about samples; known: what the model was calibrated with, None for the calibration itself; rounding: by
    how much the samples of an input are off that were rounded to its integers."""
    found = []
    for one in facts.values():
        label = f"{what}: input '{shown(one.name, 40)}'"
        if one.constant:
            found.append(f"{label}: {one.constant} of {one.count} samples hold one value only; is this what it gets?")
        if one.order:
            found.append(f"{label}: {one.order}")
        if known is not None and one.name in known:
            found += _against(label, one, known[one.name], rounding.get(one.name, 0.0))
    first = next(iter(facts.values()))
    if known is None and first.count < FEW:
        samples = f"only {first.count} sample{'s' * (first.count > 1)}"
        found.append(f"{what}: {samples}; give at least {FEW}, better 100, of what the model will see")
    if first.repeated and sum(one.size for one in facts.values()) >= _FEW_VALUES:
        found.append(f"{what}: {first.repeated} of {first.count} samples repeat an earlier one")
    return [f"warning: {line}" for line in found]


def _against(label: str, one: InputFacts, known: Known, rounding: float) -> List[str]:
    """Warnings about samples of an input that differ from those of the calibration."""
    found = []
    reach = max(known.high - known.low, 1e-30)
    ranges = f"{one.low:g} to {one.high:g}, calibrated {known.low:g} to {known.high:g}"
    width = one.high - one.low
    if one.looks_like_bytes() and known.high <= 16.0:
        found.append(f"{label}: looks like bytes (0 to 255), the model expects {known.low:g} to {known.high:g}")
    elif max(one.high - known.high, known.low - one.low) > _BEYOND * reach + rounding:
        found.append(f"{label}: goes beyond the calibrated range: {ranges}")
    elif width + 2 * rounding < 0.02 * reach and one.count > 1:
        found.append(f"{label}: covers next to nothing of the calibrated range: {ranges}")
    if one.count >= 8 and len(one.profiles) == len(known.profiles):
        for a in range(len(one.profiles)):
            for b in range(a + 1, len(one.profiles)):
                if one.shape[a] == one.shape[b] and _swapped(one, known, a, b):
                    found.append(f"{label}: its axes {a} and {b} look swapped beside the calibration samples")
    return found


def _swapped(one: InputFacts, known: Known, a: int, b: int) -> bool:
    """Whether the means along two axes resemble those of the calibration only after the axes are exchanged."""

    def alike(left: Sequence[float], right: Sequence[float]) -> float:
        x, y = np.asarray(left, np.float64), np.asarray(right, np.float64)
        if x.ndim != 1 or x.shape != y.shape or x.size < 4:
            return 0.0
        x, y = x - x.mean(), y - y.mean()
        size = np.linalg.norm(x) * np.linalg.norm(y)
        return float(x @ y / size) if size > 0 else 0.0

    own = alike(one.profiles[a], known.profiles[a]) + alike(one.profiles[b], known.profiles[b])
    swapped = alike(one.profiles[a], known.profiles[b]) + alike(one.profiles[b], known.profiles[a])
    return swapped > 1.8 and own < 1.6


def check(
    what: str,
    samples: Dict[str, Sequence[np.ndarray]],
    model: onnx.ModelProto,
    rounding: Mapping[str, float] = {},  # noqa: B006
) -> List[str]:
    """The lines and warnings of samples that are given to the quantized `model`; rounding: see `warnings`."""
    facts = examine(samples)
    return [*describe(what, facts), *warnings(what, facts, known_inputs(model), rounding)]


__all__ = [
    "FEW",
    "InputFacts",
    "Known",
    "check",
    "describe",
    "digests",
    "examine",
    "known_inputs",
    "note",
    "warnings",
]
