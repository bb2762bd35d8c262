"""Rules of the reductions over any axes; sums are exact."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np

CLAMP = (-128, 127)


def _scaled(total: np.ndarray, shift: int, n: int, clamp: Tuple[int, int]) -> np.ndarray:
    """sat8(floor(total * 2^-shift / n + 1/2))"""
    numerator, divisor = total << max(-shift, 0), n << max(shift, 0)
    y = (2 * numerator + divisor) // (2 * divisor)
    return np.clip(np.clip(y, -128, 127), *clamp).astype(np.int8)


def reduce_sum(x, axes: Sequence[int], keepdims: bool, shift: int, clamp=CLAMP) -> np.ndarray:
    """sat8(floor(sum * 2^-shift + 1/2)), shift = e_y - e_x"""
    return _scaled(x.astype(np.int64).sum(axis=tuple(axes), keepdims=keepdims), shift, 1, clamp)


def reduce_mean(x, axes: Sequence[int], keepdims: bool, shift: int, clamp=CLAMP) -> np.ndarray:
    """sat8(floor(sum * 2^-shift / n + 1/2)), shift = e_y - e_x"""
    n = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    return _scaled(x.astype(np.int64).sum(axis=tuple(axes), keepdims=keepdims), shift, n, clamp)


def reduce_l1(x, axes: Sequence[int], keepdims: bool, shift: int, clamp=CLAMP) -> np.ndarray:
    """sat8(floor(sum |x| * 2^-shift + 1/2)), shift = e_y - e_x"""
    return _scaled(np.abs(x.astype(np.int64)).sum(axis=tuple(axes), keepdims=keepdims), shift, 1, clamp)


def reduce_sum_square(x, axes: Sequence[int], keepdims: bool, shift: int, clamp=CLAMP) -> np.ndarray:
    """sat8(floor(sum x^2 * 2^-shift + 1/2)), shift = e_y - 2 e_x"""
    return _scaled((x.astype(np.int64) ** 2).sum(axis=tuple(axes), keepdims=keepdims), shift, 1, clamp)


def reduce_l2(x, axes: Sequence[int], keepdims: bool, shift: int, clamp=CLAMP) -> np.ndarray:
    """sat8(floor(sqrt(sum x^2) * 2^-shift + 1/2)), exactly, shift = e_y - e_x.

    y is the largest integer with (2 y - 1)^2 * 4^shift <= 4 * sum x^2.
    """
    total = (x.astype(np.int64) ** 2).sum(axis=tuple(axes), keepdims=keepdims)
    candidates = np.arange(1, 128, dtype=np.int64)
    left = (2 * candidates - 1) ** 2 << (2 * max(shift, 0))
    y = (left <= (4 * total << (2 * max(-shift, 0)))[..., None]).sum(axis=-1)
    return np.clip(y, *clamp).astype(np.int8)


def reduce_max(x, axes: Sequence[int], keepdims: bool, clamp=CLAMP) -> np.ndarray:
    """The largest value; the exponent stays."""
    return np.clip(x.max(axis=tuple(axes), keepdims=keepdims), *clamp).astype(np.int8)


def reduce_min(x, axes: Sequence[int], keepdims: bool, clamp=CLAMP) -> np.ndarray:
    """The smallest value; the exponent stays."""
    return np.clip(x.min(axis=tuple(axes), keepdims=keepdims), *clamp).astype(np.int8)


__all__ = [
    "reduce_l1",
    "reduce_l2",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_sum",
    "reduce_sum_square",
]


def hardmax(x: np.ndarray, one: int) -> np.ndarray:
    """`one` at the first of the largest values along the middle one of three axes, 0 elsewhere."""
    y = np.zeros_like(x)
    np.put_along_axis(y, np.argmax(x, axis=1)[:, None, :], one, axis=1)
    return y


def topk_indices(x: np.ndarray, axis: int, k: int, smallest: bool = False) -> np.ndarray:
    """int64: where the k largest (smallest) values along `axis` are, the best first, of equal ones the first first,
    NaN last."""
    # What is stable keeps the order of equal values; -x of the smallest int8 needs a wider type.
    wide = x if x.dtype.kind == "f" else x.astype(np.int64)
    order = np.argsort(wide if smallest else -wide, axis=axis, kind="stable")
    return np.take(order, np.arange(k), axis=axis).astype(np.int64)


def topk(x: np.ndarray, axis: int, k: int, smallest: bool = False, exponent: int = 0) -> np.ndarray:
    """float32: these values, of integers times 2^exponent."""
    best = np.take_along_axis(x, topk_indices(x, axis, k, smallest), axis=axis)
    return best.astype(np.float32) * np.float32(2.0**exponent)
