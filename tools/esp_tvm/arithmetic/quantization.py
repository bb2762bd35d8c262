"""Between float and int8, and softmax, which computes in float inside."""

from __future__ import annotations

from typing import Optional

import numpy as np

from .common import expect, round_half_up, sat8


def quantize(x: np.ndarray, exponent: int) -> np.ndarray:
    """float32 -> int8: sat8(floor(x / 2^exponent + 1/2)); NaN gives 0."""
    scaled = expect(x, "float32").astype(np.float64) * 2.0**-exponent
    with np.errstate(invalid="ignore"):
        return sat8(round_half_up(np.where(np.isnan(scaled), 0.0, np.clip(scaled, -1e6, 1e6))))


def dequantize(x: np.ndarray, exponent: int) -> np.ndarray:
    """int8 -> float32: x * 2^exponent, exact."""
    return expect(x, "int8").astype(np.float32) * np.float32(2.0**exponent)


def softmax(x: np.ndarray, exponent: int, output_exponent: Optional[int] = None) -> np.ndarray:
    """int8 at `exponent` -> float32, or int8 at `output_exponent`; over the last axis.

    exp from a table of float32 values at max - x; summed in float32 in index order, divided in float32.
    """
    expect(x, "int8")
    with np.errstate(under="ignore"):
        table = np.exp(-np.arange(256, dtype=np.float64) * 2.0**exponent).astype(np.float32)
    powers = table[x.max(axis=-1, keepdims=True).astype(np.int64) - x]
    total = np.zeros(x.shape[:-1], dtype=np.float32)
    for column in range(x.shape[-1]):
        total = total + powers[..., column]
    y = powers / total[..., None]
    return y if output_exponent is None else quantize(y, output_exponent)
