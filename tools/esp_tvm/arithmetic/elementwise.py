"""Sums, products, changes of exponent, and tables. Two inputs broadcast as in NumPy (and ONNX)."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .common import INT8_RANGE, check_array, check_int, requantize_sum, rshift


def add(
    a: np.ndarray,
    b: np.ndarray,
    *,
    shift_a: int,
    shift_b: int,
    shift: int,
    clamp: Sequence[int] = INT8_RANGE,
    output: str = "",
) -> np.ndarray:
    """int8 a + b: clamp(sat8(rshift(a * 2^shift_a + b * 2^shift_b, shift))).

    shift_a = e_a - f and shift_b = e_b - f bring both to the finer exponent f = min(e_a, e_b); shift = e_y - f.
    With output = "int8" or "int16" named, a and b may be int16 too.
    """
    a, b = _aligned(a, b, shift_a, shift_b, "int8/int16" if output else "int8")
    return requantize_sum(a + b, check_int("shift", shift), clamp, output or "int8")


def sub(
    a: np.ndarray,
    b: np.ndarray,
    *,
    shift_a: int,
    shift_b: int,
    shift: int,
    clamp: Sequence[int] = INT8_RANGE,
) -> np.ndarray:
    """int8 a - b; everything else as for `add`."""
    a, b = _aligned(a, b, shift_a, shift_b)
    return requantize_sum(a - b, check_int("shift", shift), clamp)


def mul(a: np.ndarray, b: np.ndarray, *, shift: int, clamp: Sequence[int] = INT8_RANGE, output: str = "") -> np.ndarray:
    """int8 a * b: clamp(sat8(rshift(a * b, shift))), shift = e_y - e_a - e_b.

    With output = "int8" or "int16" named, a and b may be int16 too.
    """
    for name, operand in (("a", a), ("b", b)):
        check_array(name, operand, "int8/int16" if output else "int8")
    return requantize_sum(a.astype(np.int64) * b, check_int("shift", shift), clamp, output or "int8")


def requantize(x: np.ndarray, *, shift: int, clamp: Sequence[int] = INT8_RANGE, output: str = "") -> np.ndarray:
    """Another exponent, or a relu or clip that is not fused: clamp(sat8(rshift(x, shift))), shift = e_y - e_x.

    With output = "int8" or "int16" named, x may be int16 too: a change of width.
    """
    check_array("x", x, "int8/int16" if output else "int8")
    return requantize_sum(x, check_int("shift", shift), clamp, output or "int8")


def lookup(x: np.ndarray, *, table: np.ndarray) -> np.ndarray:
    """Any function of one value: table[x + 128]. x: int8 of any shape; table: int8 [256].

    Bytes of uint8 and bool are interpreted as int8: 200 reads table[200 - 256 + 128], True table[129].
    """
    if x.dtype in (np.uint8, np.bool_):
        x = np.ascontiguousarray(x).view(np.int8)
    check_array("x", x, "int8")
    check_array("table", table, "int8", 1)
    if table.shape != (256,):
        raise ValueError(f"table has {table.size} entries; it must have 256")
    return table[x.astype(np.int64) + 128]


def lookup_s16(x: np.ndarray, *, table: np.ndarray, output: str) -> np.ndarray:
    """The same where x, the result (output: int8 or int16) or both are int16. table: int16.

    x int8: table [256] has the result of each value. x int16: table [513] has that of -32768, -32640, ..., 32768, and
    between two entries lies a line; for an int8 result they are in units of 2^(e_y - 8).
    """
    check_array("table", table, "int16", 1)
    if x.dtype != np.int16:
        if table.shape != (256,) or output != "int16":
            raise ValueError(f"table has {table.size} entries for {output}; it must have 256 for int16")
        return table[np.ascontiguousarray(x).view(np.int8).astype(np.int64) + 128]
    if table.shape != (513,):
        raise ValueError(f"table has {table.size} entries; it must have 513")
    place = x.astype(np.int64) + 32768
    low, part, wide = place // 128, place % 128, table.astype(np.int64)
    y = rshift(wide[low] * (128 - part) + wide[low + 1] * part, 7)
    return y.astype(np.int16) if output == "int16" else np.clip(rshift(y, 8), -128, 127).astype(np.int8)


def _aligned(a: np.ndarray, b: np.ndarray, shift_a: int, shift_b: int, dtype: str = "int8"):
    """Both inputs as int64 at the finer exponent."""
    check_array("a", a, dtype)
    check_array("b", b, dtype)
    for name, shift in (("shift_a", shift_a), ("shift_b", shift_b)):
        if not 0 <= check_int(name, shift) <= 48:
            raise ValueError(f"{name} is {shift}; it must be a left shift of at most 48 bits")
    return rshift(a, -shift_a), rshift(b, -shift_b)
