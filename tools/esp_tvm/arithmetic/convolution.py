"""Operators with constant weights: acc = sum(x * w) + b, y = clamp(sat8(rshift(acc, e_y - e_x - e_w))).

With output = "int8" or "int16" named, x may be int16 too (operators `..._s16`).
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .common import INT8_RANGE, check_array, check_int, requantize_sum
from .windows import make_window


def conv2d(
    x: np.ndarray,
    *,
    weights: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    strides: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    pad_value: int = 0,
    groups: int = 1,
    clamp: Sequence[int] = INT8_RANGE,
    output: str = "",
) -> np.ndarray:
    """Convolution: int8 [n, h, w, c] -> int8 [n, oh, ow, O].

    weights: int8 [O, kh, kw, c / groups]; bias: int32 [O] at e_x + e_w; shift: integers [O], e_y - e_x - e_w.
    strides, dilation: (h, w); padding: (top, left, bottom, right); pad_value: what taps in the padding read, of x's
    type; clamp: (min, max) at e_y.
    """
    acc = _sums(x, weights, strides, padding, dilation, pad_value, groups, output)
    _check_channels(bias, shift, weights.shape[0])
    return requantize_sum(acc + bias, shift, clamp, output or "int8")


def conv2d_add(
    x: np.ndarray,
    addend: np.ndarray,
    *,
    weights: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    addend_shift: np.ndarray,
    strides: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    pad_value: int = 0,
    groups: int = 1,
    clamp: Sequence[int] = INT8_RANGE,
    output: str = "",
) -> np.ndarray:
    """Convolution to whose sums a tensor is added before they are rounded. addend: int8 [n, oh, ow, O].

    addend_shift: integers [O] of at least 0, e_2 - e_x - e_w. The rest as for conv2d.
    """
    acc = _sums(x, weights, strides, padding, dilation, pad_value, groups, output)
    _check_channels(bias, shift, weights.shape[0])
    check_array("addend", addend, _types(output), 4)
    left = np.asarray(addend_shift)
    if addend.shape != acc.shape or left.shape != bias.shape:
        raise ValueError(f"addend {list(addend.shape)}, shifted by {list(left.shape)}, does not fit {list(acc.shape)}")
    if left.dtype.kind != "i" or left.min() < 0 or left.max() > 31:
        raise ValueError("addend_shift must be integers from 0 to 31")
    acc += addend.astype(np.int64) << left.astype(np.int64)
    return requantize_sum(acc + bias, shift, clamp, output or "int8")


def _sums(x, weights, strides, padding, dilation, pad_value, groups, output) -> np.ndarray:
    """int64 [n, oh, ow, O]: the sums of products of a convolution."""
    check_array("x", x, _types(output), 4)
    check_array("weights", weights, "int8", 4)
    outputs, kernel, groups = weights.shape[0], weights.shape[1:3], check_int("groups", groups)
    inputs = weights.shape[3]
    if groups < 1 or x.shape[3] != inputs * groups or outputs % groups:
        raise ValueError(f"weights {list(weights.shape)} in {groups} groups do not fit {x.shape[3]} channels")
    window = make_window(x, kernel, strides, padding, dilation)
    fill = _fill_of(x, pad_value)
    acc = np.zeros((x.shape[0], *window.output_size, outputs), dtype=np.float64)
    # One matrix product per tap and group, in float64 for its speed: exact, a sum of 2^31 products fits in 2^53.
    per_group = outputs // groups
    for i, j, values in window.taps(x, fill):
        values = values.astype(np.float64)
        for g in range(groups):
            o = slice(g * per_group, (g + 1) * per_group)
            tap_weights = weights[o, i, j, :].astype(np.float64)
            acc[..., o] += values[..., g * inputs : (g + 1) * inputs] @ tap_weights.T
    return acc.astype(np.int64)


def depthwise_conv2d(
    x: np.ndarray,
    *,
    weights: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    strides: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    pad_value: int = 0,
    clamp: Sequence[int] = INT8_RANGE,
    output: str = "",
) -> np.ndarray:
    """Depthwise convolution: int8 [n, h, w, c] -> int8 [n, oh, ow, O], O = c * multiplier.

    weights: int8 [kh, kw, O]; output channel o reads input channel o // multiplier. The rest as for conv2d.
    """
    check_array("x", x, _types(output), 4)
    check_array("weights", weights, "int8", 3)
    outputs = weights.shape[2]
    if outputs % x.shape[3]:
        raise ValueError(f"{outputs} output channels are no multiple of {x.shape[3]} input channels")
    _check_channels(bias, shift, outputs)
    window = make_window(x, weights.shape[:2], strides, padding, dilation)
    fill = _fill_of(x, pad_value)
    source = np.arange(outputs) // (outputs // x.shape[3])
    acc = np.zeros((x.shape[0], *window.output_size, outputs), dtype=np.int64)
    for i, j, values in window.taps(x, fill):
        acc += values[..., source].astype(np.int64) * weights[i, j]
    return requantize_sum(acc + bias, shift, clamp, output or "int8")


def dense(
    x: np.ndarray,
    *,
    weights: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    clamp: Sequence[int] = INT8_RANGE,
    output: str = "",
) -> np.ndarray:
    """Fully connected layer, or a product with a constant matrix: int8 [..., I] -> int8 [..., O].

    weights: int8 [O, I]; bias: int32 [O] at e_x + e_w; shift: integers [O], e_y - e_x - e_w.
    """
    check_array("x", x, _types(output))
    check_array("weights", weights, "int8", 2)
    outputs, inputs = weights.shape
    if x.ndim == 0 or x.shape[-1] != inputs:
        raise ValueError(f"weights {list(weights.shape)} do not fit x {list(x.shape)}")
    _check_channels(bias, shift, outputs)
    acc = x.astype(np.float64) @ weights.astype(np.float64).T
    return requantize_sum(acc.astype(np.int64) + bias, shift, clamp, output or "int8")


def _types(output: str) -> str:
    """The types that x may have: int16 only where the type of the result is named."""
    return "int8/int16" if output else "int8"


def _fill_of(x: np.ndarray, pad_value: int) -> int:
    info, value = np.iinfo(x.dtype), check_int("pad_value", pad_value)
    if not info.min <= value <= info.max:
        raise ValueError(f"pad_value is {value}; {x.dtype} holds {info.min} to {info.max}")
    return value


def _check_channels(bias: np.ndarray, shift: np.ndarray, outputs: int) -> None:
    check_array("bias", bias, "int32", 1)
    shift = np.asarray(shift)
    if bias.shape != (outputs,) or shift.shape != (outputs,):
        raise ValueError(f"bias {list(bias.shape)} and shift {list(shift.shape)} must have {outputs} values")
    if shift.dtype.kind != "i":
        raise ValueError(f"shift is {shift.dtype}; it must be integers")
