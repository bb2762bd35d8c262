"""Operators that compute every value from the values at its own place."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .common import INT8_RANGE, expect, requantize_sum


def add(
    a: np.ndarray,
    b: np.ndarray,
    shift_a: int,
    shift_b: int,
    shift: int,
    clamp: Sequence[int] = INT8_RANGE,
) -> np.ndarray:
    """Both inputs shifted left to the finer exponent f, then sat8(rshift(a + b, e_y - f))."""
    expect(a, "int8"), expect(b, "int8")
    return requantize_sum((a.astype(np.int64) << shift_a) + (b.astype(np.int64) << shift_b), shift, clamp)


def sub(
    a: np.ndarray,
    b: np.ndarray,
    shift_a: int,
    shift_b: int,
    shift: int,
    clamp: Sequence[int] = INT8_RANGE,
) -> np.ndarray:
    """Both inputs shifted left to the finer exponent f, then sat8(rshift(a - b, e_y - f))."""
    expect(a, "int8"), expect(b, "int8")
    return requantize_sum((a.astype(np.int64) << shift_a) - (b.astype(np.int64) << shift_b), shift, clamp)


def mul(a: np.ndarray, b: np.ndarray, shift: int, clamp: Sequence[int] = INT8_RANGE) -> np.ndarray:
    """sat8(rshift(a * b, e_y - e_a - e_b))."""
    expect(a, "int8"), expect(b, "int8")
    return requantize_sum(a.astype(np.int64) * b.astype(np.int64), shift, clamp)


def requantize(x: np.ndarray, shift: int, clamp: Sequence[int] = INT8_RANGE) -> np.ndarray:
    """sat8(rshift(x, e_y - e_x)) within the bounds of a relu or clip."""
    return requantize_sum(expect(x, "int8"), shift, clamp)


def lookup(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """table[x + 128]; table int8 [256]."""
    return expect(table, "int8", 1)[expect(x, "int8").astype(np.int64) + 128]
