"""Finds out why a kernel's output differs from the reference.

Every cause is a hypothesis that is tested: the rule is computed with that mistake, and the cause is reported only if
the result equals that of the chip, byte for byte or, where the log has checksums only, by its CRC-32.
"""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .. import arithmetic
from ..program.form import Call
from .weights import find_parameter

SHIFTS = [k for n in range(1, 9) for k in (n, -n)]
_FULL = (-128, 127)
# Kernels whose weights and biases are looked at one by one.
_WITH_PARAMETERS = ("conv2d", "conv2d_add", "depthwise_conv2d", "dense")


@dataclass
class Evidence:
    """A kernel's output as the chip has it: its CRC-32, and its bytes (an array like `expected`) when they were logged.

    arguments: the inputs of the call, which the chip had as well (all layers before are equal)
    expected: what the rule gives; before: the content of the output's memory before the call, if known
    centre: what the kernel takes from every input value before it multiplies; part: which of several outputs it is
    """

    call: Call
    arguments: Sequence[np.ndarray]
    expected: np.ndarray
    crc: int
    got: Optional[np.ndarray] = None
    before: Optional[bytes] = None
    centre: int = 0
    part: int = 0

    def is_what_the_chip_has(self, candidate: np.ndarray) -> bool:
        """Whether `candidate` (any shape, same bytes in memory) equals the chip's result."""
        if candidate.nbytes != self.expected.nbytes:
            return False
        return zlib.crc32(np.ascontiguousarray(candidate).tobytes()) == self.crc

    def rule(self, *arguments: np.ndarray, **changes: Any) -> np.ndarray:
        """The rule with some of the call's attributes changed, or with other inputs."""
        rule = arithmetic.rule(self.call.operator)
        y = rule(*(arguments or self.arguments), **{**self.call.attributes, **changes})
        return y[self.part] if isinstance(y, tuple) else y


_TESTS = ("stale", "shift", "activation", "rounding", "bias", "layout", "wrapped", "parameter", "place", "where")


def likely_cause(parts: Sequence[Evidence]) -> str:
    """One line about what is wrong with a kernel's output, if it can be found.

    parts: the same output seen as that of each call which the kernel computes
    """
    for name in _TESTS:
        for part in parts:
            found = globals()[f"_{name}"](part)
            if found:
                return found if len(parts) == 1 else f"in its {part.call.operator}: {found}"
    if parts[0].got is None:
        return (
            "no single wrong shift, missing activation or bias, other rounding or layout gives this checksum; likely "
            "the weights or other constants. Export with --debug tensors to see where it differs"
        )
    return "the constants or the kernel: no simple mistake in shift, layout, rounding or saturation gives these values"


# --- the hypotheses, most telling first -------------------------------------------------------------------


def _stale(e: Evidence) -> Optional[str]:
    """The memory contains something else."""
    blank = np.zeros_like(e.expected)
    if np.any(e.expected != blank) and e.is_what_the_chip_has(blank):
        return "nothing was written: the output is all zeros; is the kernel called, and is its library the right one?"
    if e.before is not None and e.before != e.expected.tobytes() and zlib.crc32(e.before) == e.crc:
        return "nothing was written: the memory holds what lay there before; the kernel did not run or wrote elsewhere"
    return None


def _half(shift: np.ndarray) -> np.ndarray:
    return np.where(shift > 0, np.left_shift(np.int64(1), np.clip(shift - 1, 0, 40)), 0)


def _shifted(e: Evidence, change: int, keep_half: bool) -> Optional[np.ndarray]:
    """The rule with all shifts changed; `keep_half`: the rounding half in the bias stays that of the right shift."""
    attributes = e.call.attributes
    shift = attributes["shift"]
    if np.ndim(shift) == 0:
        return None if keep_half else e.rule(shift=int(shift) + change)
    wrong = np.asarray(shift, dtype=np.int64) + change
    changes: Dict[str, Any] = {"shift": wrong.astype(np.asarray(shift).dtype)}
    if keep_half:
        bias = attributes["bias"].astype(np.int64) + _half(np.asarray(shift, dtype=np.int64)) - _half(wrong)
        if np.any(np.abs(bias) >= 2**31):
            return None
        changes["bias"] = bias.astype(np.int32)
    return e.rule(**changes)


def _shift(e: Evidence) -> Optional[str]:
    if "shift" not in e.call.attributes:
        return _exponent(e)
    per_channel = np.ndim(e.call.attributes["shift"]) == 1
    # A mistake in all channels would also be found channel by channel: so try that only if one channel differs.
    only = _only_channel(e)
    for change, keep_half in itertools.product(SHIFTS, (False, True)):
        wrong = _shifted(e, change, keep_half)
        if wrong is None or np.array_equal(wrong, e.expected):
            continue
        factor = f"its values are about {_power(-change)} times what they should be"
        if e.is_what_the_chip_has(wrong):
            return f"shift: too {_size(change)} by {abs(change)} in every channel; {factor}"
        if not per_channel:
            continue
        channels = range(e.expected.shape[-1]) if e.got is None else ([] if only is None else [only])
        for channel in channels:
            candidate = e.expected.copy()
            candidate[..., channel] = wrong[..., channel]
            if e.is_what_the_chip_has(candidate) and not np.array_equal(candidate, e.expected):
                right = int(e.call.attributes["shift"][channel])
                return (
                    f"shift of output channel {channel}: {right + change} in place of {right}, "
                    f"too {_size(change)} by {abs(change)}; {factor}"
                )
    return None


def _exponent(e: Evidence) -> Optional[str]:
    """quantize, dequantize and softmax have no shift but an exponent."""
    exponent = e.call.attributes.get("exponent")
    if not isinstance(exponent, (int, np.integer)) or e.call.kind not in ("quantize", "dequantize"):
        return None
    for change in SHIFTS:
        if e.is_what_the_chip_has(e.rule(exponent=int(exponent) + change)):
            return f"exponent: {int(exponent) + change} in place of {int(exponent)} (a shift of {abs(change)} bits)"
    return None


def _size(change: int) -> str:
    return "large" if change > 0 else "small"


def _power(exponent: int) -> str:
    return str(2**exponent) if exponent >= 0 else f"1/{2**-exponent}"


def _activation(e: Evidence) -> Optional[str]:
    clamp = e.call.attributes.get("clamp")
    if clamp is None:
        return None
    for wrong, name in ((_FULL, "the fused activation (relu, clip) is missing"), ((0, 127), "a relu too much")):
        if tuple(clamp) != wrong and e.is_what_the_chip_has(e.rule(clamp=wrong)):
            return f"activation: {name}; bounds {tuple(int(v) for v in clamp)} are right"
    return None


def _rounding(e: Evidence) -> Optional[str]:
    shift, bias = e.call.attributes.get("shift"), e.call.attributes.get("bias")
    if bias is None or np.ndim(shift) != 1:
        return None
    shift, wide = np.asarray(shift, dtype=np.int64), bias.astype(np.int64)
    for name, add in (
        ("rounds down: the half that rounding adds is missing", -_half(shift)),
        ("the half that rounding adds is added twice", _half(shift)),
        ("rounds half down, not half up", -(shift > 0).astype(np.int64)),
    ):
        changed = wide + add
        if np.all(np.abs(changed) < 2**31) and e.is_what_the_chip_has(e.rule(bias=changed.astype(np.int32))):
            return f"rounding: the kernel {name}" if name.startswith("rounds") else f"rounding: {name}"
    return None


def _bias(e: Evidence) -> Optional[str]:
    bias = e.call.attributes.get("bias")
    if bias is not None and np.any(bias) and e.is_what_the_chip_has(e.rule(bias=np.zeros_like(bias))):
        return "bias: it is not added"
    return None


def _orders(shape: Sequence[int]) -> Iterator[Tuple[int, ...]]:
    """Permutations of an array's axes that change the positions of its values."""
    if len(shape) <= 5:
        for order in itertools.permutations(range(len(shape))):
            if [axis for axis in order if shape[axis] > 1] != [axis for axis in range(len(shape)) if shape[axis] > 1]:
                yield order


def layout_that_gives(array: np.ndarray, crc: int) -> Optional[Tuple[int, ...]]:
    """The order of axes in which `array` has this CRC-32, if there is one besides its own."""
    for order in _orders(array.shape):
        if zlib.crc32(np.ascontiguousarray(array.transpose(order)).tobytes()) == crc:
            return order
    return None


def _layout(e: Evidence) -> Optional[str]:
    order = layout_that_gives(e.expected, e.crc)
    if order is not None:
        return f"layout: the output has its axes in the order {_axes(e.expected.ndim, order)}"
    weights = e.call.attributes.get("weights")
    if weights is not None:
        for order in _orders(weights.shape):
            # The same bytes, read as if they lay in another order.
            other = np.ascontiguousarray(weights.transpose(order)).reshape(weights.shape)
            if e.is_what_the_chip_has(e.rule(weights=other)):
                return f"layout: the weights lie in another order, axes {order} of {list(weights.shape)}"
    if len(e.arguments) == 1:
        x = e.arguments[0]
        for order in _orders(x.shape):
            other = np.ascontiguousarray(x.transpose(order)).reshape(x.shape)
            if e.is_what_the_chip_has(e.rule(other)):
                return f"layout: the kernel reads its input in the order {_axes(x.ndim, order)}"
    if e.got is not None and e.got.size > 1 and np.array_equal(np.sort(e.got, None), np.sort(e.expected, None)):
        return "layout: the same values, in another order"
    return None


def _axes(rank: int, order: Sequence[int]) -> str:
    names = "NHWC" if rank == 4 else "".join(str(i) for i in range(rank))
    return f"{''.join(names[i] for i in order)} in place of {names}"


def _wrapped(e: Evidence) -> Optional[str]:
    """Values that should saturate have the opposite sign."""
    if e.got is None or e.got.dtype != np.int8:
        return None
    differ = e.got != e.expected
    at_bound = np.isin(e.expected, (-128, 127, *map(int, e.call.attributes.get("clamp", _FULL))))
    if np.any(differ) and np.all(at_bound[differ]):
        wrong_sign = (e.got[differ] < 0) != (e.expected[differ] < 0)
        if np.mean(wrong_sign) > 0.3:
            return "overflow: values that must saturate wrap around"
        return "saturation: only values at the bounds differ; a sum overflows or another bound is applied"
    return None


def _parameter(e: Evidence) -> Optional[str]:
    channel = _only_channel(e)
    if channel is None or e.got is None or e.call.operator not in _WITH_PARAMETERS:
        return None
    return find_parameter(e.call, e.arguments, e.got, channel, e.centre)


def _only_channel(e: Evidence) -> Optional[int]:
    if e.got is None or e.expected.ndim < 2:
        return None
    channels = np.unique(np.nonzero(e.got != e.expected)[-1])
    return int(channels[0]) if len(channels) == 1 and e.expected.shape[-1] > 1 else None


def _place(e: Evidence) -> Optional[str]:
    """One range of memory differs, regardless of channels."""
    if e.got is None:
        return None
    wrong = np.flatnonzero(np.frombuffer(e.got.tobytes(), np.uint8) != np.frombuffer(e.expected.tobytes(), np.uint8))
    first, last = int(wrong[0]), int(wrong[-1])
    if last - first + 1 < e.expected.nbytes // 4 and len(wrong) > (last - first + 1) / 2 and _only_channel(e) is None:
        return f"overwritten memory: only bytes {first} to {last} differ; something else writes into the arena"
    return None


def _where(e: Evidence) -> Optional[str]:
    channel = _only_channel(e)
    if channel is not None:
        return f"constants: only output channel {channel} differs; its weights, bias or shift are not the model's"
    if e.got is not None and e.expected.ndim == 4:
        axes = [np.unique(index) for index in np.nonzero(e.got != e.expected)]
        height, width = e.expected.shape[1:3]
        if height > 2 and width > 2 and _border_only(axes[1], height, axes[2], width, e):
            return "padding: only values at the border differ"
    return None


def _border_only(rows: np.ndarray, height: int, columns: np.ndarray, width: int, e: Evidence) -> bool:
    inner = (e.got != e.expected)[:, 1 : height - 1, 1 : width - 1]
    return bool(len(rows) and len(columns)) and not inner.any()


__all__: List[str] = ["Evidence", "layout_that_gives", "likely_cause"]
