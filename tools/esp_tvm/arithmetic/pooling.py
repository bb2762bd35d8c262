"""Pooling over windows."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .common import INT8_RANGE, expect, sat8, windows


def max_pool2d(
    x: np.ndarray,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int] = (1, 1),
    clamp: Sequence[int] = INT8_RANGE,
    output_size: Sequence[int] = None,
) -> np.ndarray:
    """int8 [N,H,W,C] -> int8 [N,h,w,C]: the maximum over the window; e_y = e_x.

    output_size: (h, w) where it is more than padding (top, left, bottom, right) says, as ceil_mode makes it
    """
    taps = windows(expect(x, "int8", 4), kernel, strides, _reaching(x, locals()), dilation, -128)
    return np.clip(taps.max(axis=(3, 4)), clamp[0], clamp[1]).astype(np.int8)


def average_pool2d(
    x: np.ndarray,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int] = (1, 1),
    count_include_pad: bool = False,
    shift: int = 0,
    clamp: Sequence[int] = INT8_RANGE,
    output_size: Sequence[int] = None,
) -> np.ndarray:
    """int8 [N,H,W,C] -> int8 [N,h,w,C]: sat8(floor(sum * 2^-shift / n + 1/2)), shift = e_y - e_x.

    n counts the elements of the window that lie in the image, or in the declared padding too.
    """
    expect(x, "int8", 4)
    reach = _reaching(x, locals())
    total = windows(x, kernel, strides, reach, dilation, 0).sum(axis=(3, 4), dtype=np.int64)
    counted = np.ones((1, *x.shape[1:3], 1), dtype=np.int64)
    if count_include_pad:
        top, left, bottom, right = padding
        counted = np.pad(counted, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=1)
        rest = [0, 0, reach[2] - bottom, reach[3] - right]
    else:
        rest = list(reach)
    if rest[2] < 0 or rest[3] < 0:
        counted = counted[:, : counted.shape[1] + min(rest[2], 0), : counted.shape[2] + min(rest[3], 0)]
    n = windows(counted, kernel, strides, np.maximum(rest, 0), dilation, 0).sum(axis=(3, 4))
    n = np.maximum(n, 1)
    # floor(s / d + 1/2) = floor((2 s + d) / (2 d)), with the power of two on whichever side it is whole
    scaled, divisor = total << max(-shift, 0), n << max(shift, 0)
    return np.clip(sat8((2 * scaled + divisor) // (2 * divisor)), clamp[0], clamp[1]).astype(np.int8)


def _reaching(x: np.ndarray, call: dict) -> list:
    """The padding with which windows fit exactly `output_size` times."""
    padding, size = list(call["padding"]), call["output_size"]
    if size is not None:
        for axis in (0, 1):
            span = (call["kernel"][axis] - 1) * call["dilation"][axis] + 1
            reach = (size[axis] - 1) * call["strides"][axis] + span
            padding[2 + axis] = max(reach - x.shape[1 + axis] - padding[axis], 0)
    return padding
