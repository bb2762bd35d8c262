"""Rules of the operators that move values, each by the corresponding NumPy function."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np


def transpose(x: np.ndarray, *, axes: Sequence[int]) -> np.ndarray:
    """Axes permuted: axis i of the result is axis axes[i] of x. Any dtype."""
    if sorted(axes) != list(range(x.ndim)):
        raise ValueError(f"axes {tuple(axes)} are no permutation of the {x.ndim} axes of x")
    return np.ascontiguousarray(np.transpose(x, axes))


def reshape(x: np.ndarray, *, shape: Sequence[int]) -> np.ndarray:
    """The same values in the same order with another shape. Any dtype."""
    if min(shape, default=1) < 0 or np.prod(shape, dtype=np.int64) != x.size:
        raise ValueError(f"x {list(x.shape)} cannot have the shape {list(shape)}")
    return np.ascontiguousarray(x).reshape(tuple(shape))


def strided_slice(x: np.ndarray, begin: Sequence[int], steps: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """`shape` values along each axis, from `begin` in `steps` (negative: backwards)."""
    indices = [b + s * np.arange(n) for b, s, n in zip(begin, steps, shape)]
    return x[np.ix_(*indices)]


def concat(
    *inputs: np.ndarray, axis: int, places: Sequence[int] = (), constants: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """The inputs and `constants`, which all share their exponent, concatenated along `axis`.

    places: where among all parts each constant stands, ascending
    """
    parts = list(inputs)
    for place, constant in zip(places, constants):
        parts.insert(place, constant)
    return np.concatenate(parts, axis=axis)


def tile(x: np.ndarray, repeats: Sequence[int]) -> np.ndarray:
    """x repeated as a whole, `repeats` times along each axis of the result."""
    return np.tile(x, repeats)


def broadcast(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """x repeated along its axes of size 1 (and new leading ones) up to `shape`."""
    return np.ascontiguousarray(np.broadcast_to(x, shape))


def depth_to_space(x: np.ndarray, block: int, mode: str) -> np.ndarray:
    """NHWC; mode DCR or CRD as in ONNX: whether the place in a block or the channel comes first in the channels."""
    n, h, w, c = x.shape
    y = np.empty((n, h * block, w * block, c // block**2), x.dtype)
    for row in range(block):
        for column in range(block):
            place = row * block + column
            channels = (
                np.s_[place :: block**2] if mode == "CRD" else np.s_[place * y.shape[3] : (place + 1) * y.shape[3]]
            )
            y[:, row::block, column::block] = x[..., channels]
    return y


def space_to_depth(x: np.ndarray, block: int) -> np.ndarray:
    """NHWC, as in ONNX: the place in a block comes before the channel."""
    parts = [x[:, row::block, column::block] for row in range(block) for column in range(block)]
    return np.concatenate(parts, axis=3)


def pad(x: np.ndarray, before: Sequence[int], after: Sequence[int], mode: str, value: int) -> np.ndarray:
    """mode: constant (`value` at the exponent of x), edge or reflect; negative amounts crop."""
    if min(*before, *after, 0) < 0:
        ends = [n + min(a, 0) for n, a in zip(x.shape, after)]
        x = x[tuple(np.s_[-min(b, 0) : e] for b, e in zip(before, ends))]
        before, after = [max(b, 0) for b in before], [max(a, 0) for a in after]
    widths = list(zip(before, after))
    return np.pad(x, widths, mode, constant_values=value) if mode == "constant" else np.pad(x, widths, mode)


def gather(x: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    """The slices `indices` (constant, any shape) of x along `axis`; negative ones count from the end."""
    return np.take(x, np.where(indices < 0, indices + x.shape[axis], indices), axis=axis)


def take(*inputs: np.ndarray, axis: int, table: Optional[np.ndarray] = None) -> np.ndarray:
    """(x, indices), or (indices) of a constant table: slices along `axis`, any dtype; negative indices count from the
    end, those outside are taken for the nearest."""
    x = inputs[0] if table is None else table
    indices = inputs[-1].astype(np.int64)
    size = x.shape[axis]
    return np.take(x, np.clip(np.where(indices < 0, indices + size, indices), 0, size - 1), axis=axis)


def gather_rows(x: np.ndarray, rows: np.ndarray, inner: int, shape: Sequence[int]) -> np.ndarray:
    """x as rows of `inner` values; the rows with the indices `rows`, in the shape `shape`."""
    return x.reshape(-1, inner)[rows].reshape(shape)


def scatter_rows(x: np.ndarray, updates: np.ndarray, rows: np.ndarray, inner: int) -> np.ndarray:
    """x as rows of `inner` values, the rows with the indices `rows` replaced by `updates` in order."""
    y = x.reshape(-1, inner).copy()
    for row, update in zip(rows, updates.reshape(-1, inner)):
        y[row] = update
    return y.reshape(x.shape)


def resize_nearest(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """NHWC: row r of the result is row rows[r] of x, likewise columns (see `nearest_indices`)."""
    return x[:, rows][:, :, columns]


def resize_linear(
    x: np.ndarray,
    rows: Tuple[np.ndarray, np.ndarray, np.ndarray],
    columns: Tuple[np.ndarray, np.ndarray, np.ndarray],
    shift: int,
    clamp: Tuple[int, int] = (-128, 127),
) -> np.ndarray:
    """NHWC; rows and columns: (lower index, upper index, weight of the upper in units of 2^-10) per output place.

    sat8(rshift(sum of the four values * their weights, 20 + e_y - e_x)); shift: e_y - e_x
    """
    wide = x.astype(np.int64)
    low, high, t = (np.asarray(v, np.int64) for v in rows)
    t = t[None, :, None, None]
    wide = wide[:, low] * (1024 - t) + wide[:, high] * t
    low, high, t = (np.asarray(v, np.int64) for v in columns)
    t = t[None, None, :, None]
    acc = wide[:, :, low] * (1024 - t) + wide[:, :, high] * t
    total = 20 + shift
    acc = (acc + (1 << (total - 1))) >> total if total > 0 else acc << -total
    return np.clip(np.clip(acc, -128, 127), *clamp).astype(np.int8)


def argmax(x: np.ndarray, axis: int, keepdims: bool, last: bool, smallest: bool = False) -> np.ndarray:
    """int64: the index of the largest (smallest) value along `axis`; the first such index, or the last."""
    wide = -x.astype(np.int64) if smallest else x.astype(np.int64)
    if last:
        y = x.shape[axis] - 1 - np.argmax(np.flip(wide, axis), axis=axis)
    else:
        y = np.argmax(wide, axis=axis)
    return np.expand_dims(y, axis).astype(np.int64) if keepdims else np.asarray(y).astype(np.int64)
