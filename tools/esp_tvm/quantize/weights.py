"""Weights as int8 and biases as int32, with power-of-two scales."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Tuple

import numpy as np

from ..errors import UserError

INT32_MAX = 2**31 - 1
# What is added to sums is shifted left by no more than this, or than in most channels and one more: weights so small
# that their channel wants more are as coarse as those beside them. The lanes of the ESP32-S3 hold little more.
MOST_LEFT = 10


@dataclass
class Weights:
    """values int8 [O, ...]; exponents int [O]; bias int32 [O] at input exponent + exponents; real_bias [O]: what
    `bias` was rounded from."""

    values: np.ndarray
    exponents: np.ndarray
    bias: np.ndarray
    real_bias: np.ndarray
    _scaled: Tuple[Optional[int], np.ndarray, np.ndarray] = field(default=(None, None, None), repr=False, compare=False)

    def scaled(self, exponent: int) -> Tuple[np.ndarray, np.ndarray]:
        """(values, bias + 1/2) float32, times 2^(exponents - exponent): floor(values x + that) is the result, where
        `exponent` is the output's less the input's. A power of two changes nothing in the values."""
        kept = self._scaled  # Another thread may change it.
        if kept[0] != exponent:
            scale = np.exp2((self.exponents - exponent).astype(np.float64))
            values = self.values * scale.astype(np.float32).reshape(-1, *[1] * (self.values.ndim - 1))
            kept = exponent, values, (self.bias * scale + 0.5).astype(np.float32)
            self._scaled = kept
        return kept[1:]

    def can_add(self, left: int, magnitude: int = 128, most: int = 128) -> bool:
        """Whether values of up to `most`, whose exponent is the input's plus `left`, can be added to the sums of inputs
        of up to `magnitude`: shifted to the left, and within 32 bits."""
        shift = left - self.exponents
        if shift.min() < 0 or shift.max() > 24:
            return False
        sums = np.abs(self.values.astype(np.int64)).reshape(len(self.values), -1).sum(axis=1) * magnitude
        # There is room for the half that rounding adds.
        return bool(np.all(sums + np.abs(self.bias.astype(np.int64)) + (np.int64(most) << shift) <= INT32_MAX // 2))

    def for_input(self, exponent: int, magnitude: int = 128) -> Optional[Weights]:
        """The same for an input of another exponent; None if the bias does not fit then."""
        whole, fits = integer_bias(self.values.astype(np.float64), self.exponents, self.real_bias, exponent, magnitude)
        if not fits.all():
            return None
        return Weights(self.values, self.exponents, whole.astype(np.int32), self.real_bias)


def round_half_up(x: np.ndarray) -> np.ndarray:
    """floor(x + 1/2): how all rules round."""
    return np.floor(x + 0.5)


def weight_exponents(weights: np.ndarray, per_channel: bool) -> np.ndarray:
    """[O]: for each output channel (or for all together) the exponent of least mean square error."""
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    candidates = covering(rows, per_channel)[None, :] - np.arange(3)[:, None]
    errors = np.stack([np.square(rows - dequantized(rows, e)).sum(axis=1) for e in candidates])
    if not per_channel:
        errors = np.broadcast_to(errors.sum(axis=1, keepdims=True), errors.shape)
    return candidates[np.argmin(errors, axis=0), np.arange(len(rows))]


def beside_addend(exponents: np.ndarray, left: Optional[int]) -> np.ndarray:
    """Exponents [..., O] of weights, those coarser to whose sums something would be shifted too far. left: its exponent
    less the input's; None: nothing is added"""
    if left is None:
        return exponents
    return np.maximum(exponents, left - max(MOST_LEFT, int(np.median(left - exponents)) + 1))


def covering(rows: np.ndarray, per_channel: bool) -> np.ndarray:
    """[O]: the smallest exponent at which every weight of a row [O, n] is within half a step of +-127."""
    top = np.abs(rows).max(axis=1, initial=0.0)
    if not per_channel:
        top = np.full_like(top, top.max(initial=0.0))
    exponents = np.ceil(np.log2(np.maximum(top, 1e-30) / 127.5)).astype(np.int64)
    used = top > 0
    # Rows of zeros have no magnitude.
    return np.where(used, exponents, exponents[used].min() if used.any() else 0)


def quantized(rows: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """int8 values (as float64) of `rows` [O, n] at `exponents` [O]."""
    scaled = rows * np.exp2(-exponents.astype(np.float64))[:, None]
    return np.clip(round_half_up(scaled), -128, 127)


def dequantized(rows: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """`rows` [O, n] after quantization at `exponents` [O]."""
    return quantized(rows, exponents) * np.exp2(exponents.astype(np.float64))[:, None]


def quantize_weights(
    weights: np.ndarray,
    bias: np.ndarray,
    input_exponent: int,
    per_channel: bool,
    name: str = "weights",
    magnitude: int = 128,
    left: Optional[int] = None,
) -> Weights:
    """int8 weights and int32 bias of one layer; weights [O, ...] and bias [O] float; magnitude: the largest input;
    left: the exponent of what is added to the sums, less the input's."""
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise UserError(f"node '{name}': its weights or bias hold NaN or infinity; train or export the model again")
    exponents = beside_addend(weight_exponents(weights, per_channel), left)
    return with_bias(weights, exponents, bias, input_exponent, per_channel, magnitude)


def with_bias(
    weights: np.ndarray,
    exponents: np.ndarray,
    bias: np.ndarray,
    input_exponent: int,
    per_channel: bool,
    magnitude: int = 128,
) -> Weights:
    """Round weights at `exponents`, made coarser where the sum would exceed int32."""
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    exponents = exponents.copy()
    while True:
        values = quantized(rows, exponents)
        whole, fits = integer_bias(values, exponents, bias, input_exponent, magnitude)
        if fits.all():
            break
        # The bias is large compared with the weights: a coarser exponent gives it enough room.
        exponents = exponents + (~fits if per_channel else 1)
    return Weights(
        values.astype(np.int8).reshape(weights.shape), exponents, whole.astype(np.int32), bias.astype(np.float64)
    )


def integer_bias(
    values: np.ndarray, exponents: np.ndarray, bias: np.ndarray, input_exponent: int, magnitude: int = 128
) -> Tuple[np.ndarray, np.ndarray]:
    """(bias at input exponent + exponents, whether no sum of its channel can exceed int32).

    The worst sum: every input -magnitude, the bias, and the half that rounding adds (bounded by keeping a factor of two
    free).
    """
    whole = round_half_up(bias.astype(np.float64) * np.exp2(-(exponents + input_exponent).astype(np.float64)))
    worst = np.abs(values).reshape(len(values), -1).sum(axis=1) * magnitude + np.abs(whole)
    return whole, worst * 2 <= INT32_MAX


def real_weights(weights: Weights, input_exponent: int) -> Tuple[np.ndarray, np.ndarray]:
    """(weights, bias) as real numbers, float64."""
    scale = np.exp2(weights.exponents.astype(np.float64))
    shape = (-1,) + (1,) * (weights.values.ndim - 1)
    return weights.values * scale.reshape(shape), weights.bias * scale * 2.0**input_exponent
