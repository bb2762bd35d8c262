"""Convolutions and matrix products with constant weights."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .common import INT8_RANGE, expect, requantize_sum, windows


def conv2d(
    x: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
    clamp: Sequence[int] = INT8_RANGE,
) -> np.ndarray:
    """int8 [N,H,W,C], weights int8 OHWI [O,kh,kw,C/groups], bias int32 [O], shift [O] -> int8 [N,h,w,O].

    padding: (top, left, bottom, right); it adds nothing to the sum.
    """
    expect(x, "int8", 4), expect(weights, "int8", 4), expect(bias, "int32", 1)
    taps = windows(x, weights.shape[1:3], strides, padding, dilation, 0)
    n, h, w = taps.shape[:3]
    outputs, channels = weights.shape[0] // groups, x.shape[3] // groups
    acc = np.empty((n, h, w, weights.shape[0]), dtype=np.int64)
    for group in range(groups):
        columns = taps[..., group * channels : (group + 1) * channels].reshape(n * h * w, -1)
        filters = weights[group * outputs : (group + 1) * outputs].reshape(outputs, -1)
        acc[..., group * outputs : (group + 1) * outputs] = product(columns, filters.T).reshape(n, h, w, outputs)
    return requantize_sum(acc + bias, shift, clamp)


def depthwise_conv2d(
    x: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    clamp: Sequence[int] = INT8_RANGE,
) -> np.ndarray:
    """int8 [N,H,W,C], weights int8 [kh,kw,O]: output channel o reads input channel o // (O / C)."""
    expect(x, "int8", 4), expect(weights, "int8", 3), expect(bias, "int32", 1)
    multiplier = weights.shape[2] // x.shape[3]
    taps = windows(np.repeat(x, multiplier, axis=3), weights.shape[:2], strides, padding, dilation, 0)
    acc = np.einsum("nhwklo,klo->nhwo", taps.astype(np.int64), weights.astype(np.int64))
    return requantize_sum(acc + bias, shift, clamp)


def dense(
    x: np.ndarray, weights: np.ndarray, bias: np.ndarray, shift: np.ndarray, clamp: Sequence[int] = INT8_RANGE
) -> np.ndarray:
    """int8 [..., I], weights int8 [O,I], bias int32 [O], shift [O] -> int8 [..., O]."""
    expect(x, "int8"), expect(weights, "int8", 2), expect(bias, "int32", 1)
    return requantize_sum(product(x, weights.T) + bias, shift, clamp)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product of integers, exact: float64 holds every sum of products of 8 bits (below 2^53)."""
    return np.rint(a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
