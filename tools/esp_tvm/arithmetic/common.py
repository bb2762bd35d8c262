"""Saturation, shifts, clamps, and the checks of arguments that all rules share."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple, Union

import numpy as np

INT8_MIN, INT8_MAX = -128, 127
INT8_RANGE = (INT8_MIN, INT8_MAX)

# Integers of the rules stay below this in magnitude, so that a rounding half can be added in int64.
_LIMIT = 2**61

IntOrArray = Union[int, np.ndarray]


def sat8(v: IntOrArray) -> np.ndarray:
    """v limited to [-128, 127], as int8. v: integers of any shape."""
    v = _integers(v, "v")
    return np.clip(v, INT8_MIN, INT8_MAX).astype(np.int8)


def rshift(v: IntOrArray, s: IntOrArray) -> np.ndarray:
    """v * 2^-s as int64, rounded half up: (v + 2^(s-1)) >> s for s > 0, v << -s for s <= 0.

    v: integers, |v| < 2^61. s: integers of any size, broadcast with v. A result beyond +-2^61 is given as +-2^61.
    """
    v, s = _integers(v, "v"), _integers(s, "s")
    if np.any(v >= _LIMIT) or np.any(v <= -_LIMIT):
        raise ValueError("rshift: a value has more than 61 bits")
    # From 62 bits on the result is 0 for every v in range.
    right = np.clip(s, 0, 62)
    half = np.where(right > 0, np.left_shift(np.int64(1), np.maximum(right - 1, 0)), 0)
    result = (v + half) >> right
    left = np.clip(-s, 0, 61)
    if np.any(left > 0):
        bound = np.right_shift(np.int64(_LIMIT), left)
        result = np.clip(result, -bound, bound) << left
    return result


def saturate(v: IntOrArray, dtype: str) -> np.ndarray:
    """v limited to the range of `dtype` (int8 or int16), as `dtype`."""
    kind = np.iinfo(dtype)
    return np.clip(_integers(v, "v"), kind.min, kind.max).astype(dtype)


def requantize_sum(
    acc: np.ndarray, shift: IntOrArray, clamp: Sequence[int] = INT8_RANGE, dtype: str = "int8"
) -> np.ndarray:
    """sat8(rshift(acc, shift)) (int16: sat16), then the fused activation: limited to clamp = (min, max)."""
    return apply_clamp(saturate(rshift(acc, shift), dtype), clamp)


def apply_clamp(y: np.ndarray, clamp: Sequence[int]) -> np.ndarray:
    """int8 (or int16) y limited to clamp = (min, max), which are in the range of its type."""
    low, high = (int(v) for v in clamp)
    kind = np.iinfo(y.dtype)
    if not kind.min <= low <= high <= kind.max:
        raise ValueError(f"clamp is {clamp}; it must be (min, max) within {y.dtype}")
    return np.clip(y, y.dtype.type(low), y.dtype.type(high))


# --- checks of arguments ----------------------------------------------------------------------------------


def check_array(name: str, array: np.ndarray, dtype: str, rank: Optional[int] = None) -> None:
    """Raise ValueError unless `array` is a NumPy array of that dtype and, when given, rank, with no axis of size 0.

    dtype: one, or several separated by "/"
    """
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is a {type(array).__name__}, not a NumPy array")
    if array.dtype.name not in dtype.split("/"):
        raise ValueError(f"{name} is {array.dtype}; it must be {dtype}")
    if rank is not None and array.ndim != rank:
        raise ValueError(f"{name} has {array.ndim} axes; it must have {rank}")
    if array.size == 0:
        raise ValueError(f"{name} has the shape {list(array.shape)}, without an element")


def check_pair(name: str, values: Sequence[int], minimum: int) -> Tuple[int, int]:
    """(h, w) as int, both >= minimum."""
    return check_ints(name, values, 2, minimum)  # type: ignore[return-value]


def check_ints(name: str, values: Sequence[int], length: int, minimum: int) -> Tuple[int, ...]:
    """`length` integers, all >= minimum."""
    result = tuple(check_int(name, value) for value in values)
    if len(result) != length or min(result) < minimum:
        raise ValueError(f"{name} is {values}; it must be {length} integers, at least {minimum}")
    return result


def check_int(name: str, value: int) -> int:
    """`value` as int; anything else than an integer is an error."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} is {value!r}; it must be an integer")
    return int(value)


def _integers(value: IntOrArray, name: str) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} is {array.dtype}; it must be integers")
    if array.dtype == np.uint64:
        raise ValueError(f"{name} is uint64, which int64 cannot hold")
    return array.astype(np.int64)
