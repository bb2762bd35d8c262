"""Rounding, shifting and saturating, as docs/arithmetic.md has them."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np

INT8_RANGE = (-128, 127)


def sat8(values: np.ndarray) -> np.ndarray:
    """Clamp to [-128, 127], as int8."""
    return np.clip(values, *INT8_RANGE).astype(np.int8)


def rshift(values: np.ndarray, shift) -> np.ndarray:
    """(v + 2^(s-1)) >> s for s > 0 (round half up), v << -s for s <= 0; in int64, |v| < 2^40, s >= -20.

    `shift` is a number or broadcasts against `values`.
    """
    values = np.asarray(values, dtype=np.int64)
    shift = np.asarray(shift, dtype=np.int64)
    right = np.clip(shift, 0, 62)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    return ((values + half) >> right) << np.clip(-shift, 0, 20)


def requantize_sum(acc: np.ndarray, shift, clamp: Sequence[int] = INT8_RANGE) -> np.ndarray:
    """sat8(rshift(acc, shift)), then within the bounds of a fused activation."""
    return np.clip(sat8(rshift(acc, shift)), clamp[0], clamp[1]).astype(np.int8)


def round_half_up(values: np.ndarray) -> np.ndarray:
    """floor(v + 1/2) of floats, without the rounding error that adding 1/2 can make."""
    values = np.asarray(values, dtype=np.float64)
    floor = np.floor(values)
    return floor + (values - floor >= 0.5)


def expect(array: np.ndarray, dtype: str, rank: int = None) -> np.ndarray:
    """`array`, if it has this dtype and rank; `ValueError` otherwise: a mistake in a program, not in a model."""
    array = np.asarray(array)
    if array.dtype != np.dtype(dtype):
        raise ValueError(f"expected {dtype}, got {array.dtype}")
    if rank is not None and array.ndim != rank:
        raise ValueError(f"expected {rank} axes, got shape {array.shape}")
    return array


def output_size(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    """Positions of a window along one axis."""
    return (size + before + after - (kernel - 1) * dilation - 1) // stride + 1


def windows(
    x: np.ndarray,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    fill: int,
) -> np.ndarray:
    """x NHWC -> [N, out_h, out_w, kernel_h, kernel_w, C]; what lies outside has the value `fill`.

    padding: (top, left, bottom, right)
    """
    top, left, bottom, right = padding
    rows = output_size(x.shape[1], kernel[0], strides[0], top, bottom, dilation[0])
    columns = output_size(x.shape[2], kernel[1], strides[1], left, right, dilation[1])
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    h = np.arange(rows)[:, None] * strides[0] + np.arange(kernel[0]) * dilation[0]
    w = np.arange(columns)[:, None] * strides[1] + np.arange(kernel[1]) * dilation[1]
    return padded[:, h[:, None, :, None], w[None, :, None, :], :]


Clamp = Tuple[int, int]
