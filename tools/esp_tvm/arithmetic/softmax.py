"""Softmax by a table of exponentials."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np

from .common import check_array, check_int
from .quantization import quantize


def softmax(x: np.ndarray, *, exponent: int, output_exponent: Optional[int] = None) -> np.ndarray:
    """Softmax over the last axis of int8 x worth x * 2^exponent.

    exp comes from a table of float32(exp(-d * 2^exponent)), d = max - x = 0..255; sum and quotients are float32, the
    sum in the order of the index. The result is float32, or int8 at output_exponent where that is given.
    """
    check_array("x", x, "int8")
    if x.ndim == 0:
        raise ValueError("x has no axis")
    scale = math.ldexp(1.0, check_int("exponent", exponent))
    table = np.array([math.exp(-d * scale) for d in range(256)], dtype=np.float64).astype(np.float32)
    wide = x.astype(np.int64)
    powers = table[wide.max(axis=-1, keepdims=True) - wide]
    # np.sum adds in pairs; index order is asked for.
    total = np.zeros(x.shape[:-1], dtype=np.float32)
    for column in range(x.shape[-1]):
        total = total + powers[..., column]
    y = powers / total[..., None]
    return y if output_exponent is None else quantize(y, exponent=output_exponent)
