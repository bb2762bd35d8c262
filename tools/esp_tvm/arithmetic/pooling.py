"""Pooling over windows; a global pool is one window over the whole plane."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np

from .common import INT8_RANGE, apply_clamp, check_array, check_int, saturate
from .windows import make_window


def max_pool2d(
    x: np.ndarray,
    *,
    kernel: Sequence[int],
    strides: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    clamp: Sequence[int] = INT8_RANGE,
    output_size: Optional[Sequence[int]] = None,
    output: str = "",
) -> np.ndarray:
    """The largest value of each window: int8 [n, h, w, c] -> int8 [n, oh, ow, c], e_y = e_x.

    kernel, strides, dilation: (h, w); padding: (top, left, bottom, right). Padding is never the maximum; a window
    without a tap in the image gives -128 (before the clamp).
    With output = "int16" named, x and the result are int16.
    output_size: (oh, ow) if it is larger than image and padding allow (ceil_mode).
    """
    check_array("x", x, "int8/int16" if output else "int8", 4)
    window = make_window(x, kernel, strides, padding, dilation, output_size)
    least = np.iinfo(x.dtype).min
    y = np.full((x.shape[0], *window.output_size, x.shape[3]), least, dtype=x.dtype)
    for _, _, values in window.taps(x, fill=least):
        y = np.maximum(y, values)
    return apply_clamp(y, clamp)


def average_pool2d(
    x: np.ndarray,
    *,
    kernel: Sequence[int],
    shift: int,
    strides: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    count_include_pad: bool = False,
    clamp: Sequence[int] = INT8_RANGE,
    output_size: Optional[Sequence[int]] = None,
    output: str = "",
) -> np.ndarray:
    """The mean of each window: clamp(sat8(floor(sum * 2^-shift / n + 1/2))), shift = e_y - e_x.

    int8 [n, h, w, c] -> int8 [n, oh, ow, c]. n counts the taps in the image, or with count_include_pad those in the
    image and its padding; taps beyond the padding (ceil_mode) never count, a window without a counted tap gives 0.
    shift: -30..30. The other attributes are those of max_pool2d.
    """
    check_array("x", x, "int8/int16" if output else "int8", 4)
    if not -30 <= check_int("shift", shift) <= 30:
        raise ValueError(f"shift is {shift}; it must be in -30..30")
    window = make_window(x, kernel, strides, padding, dilation, output_size)
    total = np.zeros((x.shape[0], *window.output_size, x.shape[3]), dtype=np.int64)
    for _, _, values in window.taps(x, fill=0):
        total += values
    n = np.maximum(window.counts(bool(count_include_pad)), 1)
    # sum * 2^-shift / n as a fraction of integers; |numerator| < 2^24 * 2^7 * 2^30.
    if n.max() > 2**24:
        raise ValueError(f"a window of {n.max()} values is too large")
    numerator = total << max(-shift, 0)
    denominator = n << max(shift, 0)
    # floor(p / q + 1/2) = floor((2 p + q) / (2 q))
    return apply_clamp(saturate((2 * numerator + denominator) // (2 * denominator), output or "int8"), clamp)


def max_pool_indices(
    x: np.ndarray,
    *,
    output_size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    by_columns: bool = False,
) -> np.ndarray:
    """int64 [n, c, *output_size]: where the maximum of each window is in x [n, c, *image], counted through all planes;
    of equal ones the first.

    An image of one to three axes; every argument has a number for each of them. padding: in front of the first; below
    zero where the windows begin that much later; by_columns: places of a plane are counted along its first axis first
    """
    sizes, rank = x.shape[2:], x.ndim - 2
    best = np.zeros((*x.shape[:2], *output_size), x.dtype)
    places = np.full(best.shape, -1, np.int64)
    for taps in np.ndindex(*kernel):
        at = np.ix_(*(np.arange(output_size[i]) * strides[i] - padding[i] + taps[i] * dilation[i] for i in range(rank)))
        inside = np.ones(output_size, bool)
        place = np.zeros(output_size, np.int64)
        for axis in reversed(range(rank)) if by_columns else range(rank):
            inside = inside & (at[axis] >= 0) & (at[axis] < sizes[axis])
            place = place * sizes[axis] + at[axis]
        values = x[(slice(None), slice(None), *(np.clip(one, 0, size - 1) for one, size in zip(at, sizes)))]
        larger = inside & ((places < 0) | (values > best))
        best = np.where(larger, values, best)
        places = np.where(larger, place, places)
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * rank)
    return places + planes * int(np.prod(sizes))


def max_unpool(x: np.ndarray, *given: np.ndarray, shape: Sequence[int], places: Optional[np.ndarray] = None):
    """Zeros of `shape`, and each value of x at its place (int64, of x's shape: an input or constant), all axes counted
    through; of several the last. Negative places count from the end, those outside are taken for the nearest."""
    places = given[0] if places is None else places
    y = np.zeros(int(np.prod(shape)), x.dtype)
    for value, place in zip(x.reshape(-1), places.reshape(-1)):
        y[np.clip(place + y.size if place < 0 else place, 0, y.size - 1)] = value
    return y.reshape(shape)
