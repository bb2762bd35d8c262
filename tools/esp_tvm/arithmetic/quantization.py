"""Between real numbers and int8."""

from __future__ import annotations

import numpy as np

from .common import check_array, check_int


def quantize(x: np.ndarray, *, exponent: int, zero_point: int = 0, output: str = "int8") -> np.ndarray:
    """sat8(floor(x / 2^exponent + 1/2) + zero_point), exact for every float32: infinities saturate, NaN is taken for 0.

    x: float32 of any shape -> int8, or int16 (sat16). zero_point: the integer that stands for 0, -128..128
    """
    check_array("x", x, "float32")
    # A power of two scales float64 without rounding. A half is added without rounding where it matters: values of
    # less than 2^-29, whose last bits it may drop, give 0 with either sign.
    with np.errstate(invalid="ignore"):  # signalling NaN
        scaled = np.ldexp(x.astype(np.float64), -_check_exponent(exponent))
    if not -128 <= check_int("zero_point", zero_point) <= 128:
        raise ValueError(f"zero_point is {zero_point}; it must be -128..128")
    low, high = np.iinfo(output).min, np.iinfo(output).max
    rounded = np.floor(np.clip(scaled, low - 1 - zero_point, high + 1 - zero_point) + 0.5)
    return np.clip(np.where(np.isnan(x), 0, rounded) + zero_point, low, high).astype(output)


def dequantize(x: np.ndarray, *, exponent: int) -> np.ndarray:
    """x * 2^exponent as float32, exact (infinite beyond the range of float32). x: int8 or int16 of any shape."""
    check_array("x", x, "int8/int16")
    with np.errstate(over="ignore"):
        return np.ldexp(x.astype(np.float64), _check_exponent(exponent)).astype(np.float32)


def pixels(x: np.ndarray, *, table: np.ndarray, axis: int = 0) -> np.ndarray:
    """uint8 pixels to int8: table[c, x], c the place along `axis`; table[0, x] where the table has one row.

    x: uint8 of any shape; table: int8 [1, 256] or [channels, 256]
    """
    check_array("x", x, "uint8")
    check_array("table", table, "int8", 2)
    if table.shape[1] != 256:
        raise ValueError(f"table has rows of {table.shape[1]} entries; they must have 256")
    if len(table) == 1:
        return table[0][x]
    axis = check_int("axis", axis)
    if not 0 <= axis < x.ndim or x.shape[axis] != len(table):
        raise ValueError(f"axis {axis} of a tensor of {list(x.shape)} does not have {len(table)} places")
    return table[np.arange(len(table)).reshape([-1 if one == axis else 1 for one in range(x.ndim)]), x]


def _check_exponent(exponent: int) -> int:
    exponent = check_int("exponent", exponent)
    if not -149 <= exponent <= 127:
        raise ValueError(f"exponent is {exponent}; 2^{exponent} is no float32")
    return exponent
