"""Normalizations and log-softmax, only with integers."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from .common import INT8_RANGE as INT8
from .common import requantize_sum as requantize
from .common import rshift


def normalize(
    x: np.ndarray,
    multiplier: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    axes: Sequence[int],
    mode: str,
    epsilon: int,
    clamp: Tuple[int, int] = INT8,
) -> np.ndarray:
    """int8 x divided by its spread over `axes`: layer, instance, RMS and L2 normalization.

    multiplier (|m| < 2^11), bias (at e_m - 12), shift = e_y - e_m + 12: they broadcast against x
    mode: "centered" (x - mean over the standard deviation), "rms", "l2"; N: number of elements along `axes`
    epsilon: of the variance, in units of T (below)

    D = N x - S, T = N Q - S^2 + epsilon  (centered; S = sum(x), Q = sum(x^2));
    D = N x, T = N Q + epsilon (rms); D = x, T = Q + epsilon (l2); T is at least 1.
    With h = floor(log4(T)): s = floor(sqrt(T * 4^(30-h))), R = floor(2^61 / s), z = rshift(D R, 19 + h),
    which is D / sqrt(T) at 2^-12; y = sat8(rshift(z * multiplier + bias, shift)).
    """
    axes = tuple(axes)
    x = x.astype(np.int64)
    count = int(np.prod([x.shape[axis] for axis in axes]))
    squares = (x * x).sum(axis=axes, keepdims=True)
    if mode == "l2":
        distance, spread = x, squares
    else:
        total = x.sum(axis=axes, keepdims=True) if mode == "centered" else 0
        distance, spread = count * x - total, count * squares - total * total
    spread = np.maximum(spread + epsilon, 1)
    level = sum((spread >= 4**power).astype(np.int64) for power in range(1, 31))
    root = _integer_sqrt(spread << (60 - 2 * level))
    z = rshift(distance * (2**61 // root), 19 + level)
    return requantize(z * multiplier + bias.astype(np.int64), shift, clamp)


def _integer_sqrt(values: np.ndarray) -> np.ndarray:
    """floor(sqrt(v)) of int64 values below 2^62, exactly."""
    root = np.sqrt(values.astype(np.float64)).astype(np.int64)
    root -= root * root > values
    return root + ((root + 1) * (root + 1) <= values)


def log_softmax(
    x: np.ndarray,
    powers: np.ndarray,
    logarithms: np.ndarray,
    places: int,
    exponent: int,
    output_exponent: Optional[int],
) -> np.ndarray:
    """int8 x: logarithm of the softmax over the last axis, int8, or float32 if output_exponent is None.

    powers int32 [256]: floor(exp(-d 2^e_x) 2^places + 1/2), d = max - x; the sum of a row stays below 2^31
    logarithms int32 [257]: floor(ln(1 + i/256) 2^24 + 1/2)

    S = sum(powers[d]); n = floor(log2(S)); m = S 2^(30-n) - 2^30; i = m >> 22; f = (m >> 8) & 0x3fff;
    L = rshift((n - places) * 11629080 + logarithms[i] + rshift((logarithms[i+1] - logarithms[i]) f, 14), 8);
    y = -d 2^(e_x+16) - L at 2^-16
    """
    x = x.astype(np.int64)
    distance = x.max(axis=-1, keepdims=True) - x
    total = powers.astype(np.int64)[distance].sum(axis=-1, keepdims=True)
    top = sum((total >= 2**power).astype(np.int64) for power in range(1, 31))
    fraction = (total << (30 - top)) - 2**30
    table = logarithms.astype(np.int64)
    index, part = fraction >> 22, (fraction >> 8) & 0x3FFF
    log = (top - places) * 11629080 + table[index] + rshift((table[index + 1] - table[index]) * part, 14)
    y = -(distance << (exponent + 16)) - rshift(log, 8)
    if output_exponent is None:
        return y.astype(np.float32) * np.float32(2.0**-16)
    return requantize(y, output_exponent + 16, INT8)
