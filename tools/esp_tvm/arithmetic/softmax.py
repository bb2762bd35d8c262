"""Softmax by a table of exponentials."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np

from .common import check_array, check_int
from .quantization import quantize


def softmax(x: np.ndarray, *, exponent: int, output_exponent: Optional[int] = None) -> np.ndarray:
    """Softmax over the last axis of int8 x with the real value x * 2^exponent.

    exp comes from a table of float32(exp(-d * 2^exponent)), d = max - x = 0..255; sum and quotients are float32, the
    sum in the order of the index. The result is float32, or int8 at output_exponent if that is given.
    """
    check_array("x", x, "int8")
    if x.ndim == 0:
        raise ValueError("x has no axis")
    scale = math.ldexp(1.0, check_int("exponent", exponent))
    table = np.array([math.exp(-d * scale) for d in range(256)], dtype=np.float64).astype(np.float32)
    wide = x.astype(np.int64)
    powers = table[wide.max(axis=-1, keepdims=True) - wide]
    # np.sum adds pairwise; the rule needs index order.
    total = np.zeros(x.shape[:-1], dtype=np.float32)
    for column in range(x.shape[-1]):
        total = total + powers[..., column]
    y = powers / total[..., None]
    return y if output_exponent is None else quantize(y, exponent=output_exponent)


def softmax_s16(x: np.ndarray, *, exponent: int) -> np.ndarray:
    """Softmax over the last axis of int16 x with the real value x * 2^exponent, float32.

    exp(-d * 2^exponent), d = max - x = 0..65535, is the product in float32 of two table entries, float32 of
    exp(-256 * (d >> 8) * 2^exponent) and of exp(-(d & 255) * 2^exponent); an entry of less than 2^-60 is 0.
    """
    check_array("x", x, "int16")
    if x.ndim == 0:
        raise ValueError("x has no axis")
    scale = math.ldexp(1.0, check_int("exponent", exponent))

    def table(step: int) -> np.ndarray:
        values = np.array([math.exp(-i * step * scale) for i in range(256)], dtype=np.float64)
        return np.where(values < 2.0**-60, 0.0, values).astype(np.float32)

    wide = x.astype(np.int64)
    distance = wide.max(axis=-1, keepdims=True) - wide
    powers = table(256)[distance >> 8] * table(1)[distance & 255]
    total = np.zeros(x.shape[:-1], dtype=np.float32)
    for column in range(x.shape[-1]):
        total = total + powers[..., column]
    return powers / total[..., None]
