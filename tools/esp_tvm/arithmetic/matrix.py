"""Products of two activations, transposed convolution, and scale and offset per channel."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from .common import INT8_RANGE as INT8
from .common import requantize_sum as requantize


def matmul(
    *inputs: np.ndarray,
    shift: int,
    transpose_b: bool = False,
    left: Optional[np.ndarray] = None,
    right: Optional[np.ndarray] = None,
    clamp: Tuple[int, int] = INT8,
) -> np.ndarray:
    """int8 [batch, rows, inner] x [batch, inner, columns]: sat8(rshift(sum(a*b), shift)) -> [batch, rows, columns].

    transpose_b: b is [batch, columns, inner]; left, right: the operand that is constant, if one is;
    shift = e_y - e_a - e_b
    """
    given = iter(inputs)
    a = left if left is not None else next(given)
    b = right if right is not None else next(given)
    if transpose_b:
        b = b.swapaxes(-1, -2)
    # Sums of int8 products below 2^53 are exact in float64, where BLAS is fast.
    total = np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)
    return requantize(total, shift, clamp)


def conv_transpose2d(
    x: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    output_padding: Sequence[int],
    groups: int = 1,
    clamp: Tuple[int, int] = INT8,
) -> np.ndarray:
    """int8 NHWC, transposed convolution: every x is multiplied with the filter and added where it falls.

    weights int8 [O, kh, kw, I/groups]; bias int32 [O] at e_x + e_w; shift [O] = e_y - e_x - e_w;
    padding (top, left, bottom, right) is cut off the result; output_padding (h, w) is added at its end.
    """
    n, h, w, channels = x.shape
    outputs, kh, kw, _ = weights.shape
    inner, outer = channels // groups, outputs // groups
    full_h = (h - 1) * strides[0] + (kh - 1) * dilation[0] + 1 + output_padding[0]
    full_w = (w - 1) * strides[1] + (kw - 1) * dilation[1] + 1 + output_padding[1]
    acc = np.zeros((n, full_h, full_w, outputs), np.int64)
    for group in range(groups):
        part = x[..., group * inner : (group + 1) * inner].astype(np.float64)
        filters = weights[group * outer : (group + 1) * outer].astype(np.float64)
        for i in range(kh):
            for j in range(kw):
                top, left = i * dilation[0], j * dilation[1]
                rows = slice(top, top + (h - 1) * strides[0] + 1, strides[0])
                columns = slice(left, left + (w - 1) * strides[1] + 1, strides[1])
                product = part @ filters[:, i, j].T
                acc[:, rows, columns, group * outer : (group + 1) * outer] += product.astype(np.int64)
    acc = acc[:, padding[0] : full_h - padding[2], padding[1] : full_w - padding[3]]
    return requantize(acc + bias, shift, clamp)


def channelwise(
    x: np.ndarray,
    multiplier: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    axis: int,
    clamp: Tuple[int, int] = INT8,
) -> np.ndarray:
    """int8: sat8(rshift(x * multiplier[c] + bias[c], shift[c])), c along `axis`.

    multiplier int8 [C]; bias int32 [C] at e_x + e_m; shift [C] = e_y - e_x - e_m
    """
    along = [1] * x.ndim
    along[axis] = x.shape[axis]
    total = x.astype(np.int64) * multiplier.reshape(along) + bias.astype(np.int64).reshape(along)
    return requantize(total, np.asarray(shift).reshape(along), clamp)
