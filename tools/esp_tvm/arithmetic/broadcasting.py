"""Rules of the operators on two tensors of any shapes that broadcast, one of which may be constant.

A constant is passed as the attribute `constant` (int8, at its own exponent), with `constant_first` if it is the first
operand. All sums and products are exact.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

CLAMP = (-128, 127)


def _operands(inputs, constant, constant_first):
    operands = list(inputs)
    if constant is not None:
        operands.insert(0 if constant_first else 1, constant)
    return [np.asarray(operand).astype(np.int64) for operand in operands]


def _sat(acc: np.ndarray, shift: int, clamp: Tuple[int, int]) -> np.ndarray:
    acc = (acc + (1 << (shift - 1))) >> shift if shift > 0 else acc << -shift
    return np.clip(np.clip(acc, -128, 127), *clamp).astype(np.int8)


def add_broadcast(*inputs, shift_a, shift_b, shift, clamp=CLAMP, constant=None, constant_first=False):
    """sat8(rshift((a << shift_a) + (b << shift_b), shift))"""
    a, b = _operands(inputs, constant, constant_first)
    return _sat((a << shift_a) + (b << shift_b), shift, clamp)


def sub_broadcast(*inputs, shift_a, shift_b, shift, clamp=CLAMP, constant=None, constant_first=False):
    """sat8(rshift((a << shift_a) - (b << shift_b), shift))"""
    a, b = _operands(inputs, constant, constant_first)
    return _sat((a << shift_a) - (b << shift_b), shift, clamp)


def maximum(*inputs, shift_a, shift_b, shift, clamp=CLAMP, constant=None, constant_first=False):
    """sat8(rshift(max(a << shift_a, b << shift_b), shift))"""
    a, b = _operands(inputs, constant, constant_first)
    return _sat(np.maximum(a << shift_a, b << shift_b), shift, clamp)


def minimum(*inputs, shift_a, shift_b, shift, clamp=CLAMP, constant=None, constant_first=False):
    """sat8(rshift(min(a << shift_a, b << shift_b), shift))"""
    a, b = _operands(inputs, constant, constant_first)
    return _sat(np.minimum(a << shift_a, b << shift_b), shift, clamp)


def mul_broadcast(*inputs, shift, clamp=CLAMP, constant=None, constant_first=False):
    """sat8(rshift(a * b, shift))"""
    a, b = _operands(inputs, constant, constant_first)
    return _sat(a * b, shift, clamp)


def div(*inputs, shift, clamp=CLAMP, constant=None, constant_first=False):
    """sat8(floor(a / b * 2^-shift + 1/2)), shift = e_y - e_a + e_b; a / 0 saturates by the sign of a, 0 / 0 is 0."""
    a, b = np.broadcast_arrays(*_operands(inputs, constant, constant_first))
    a, b = np.where(b < 0, -a, a), np.abs(b)
    numerator, divisor = a << max(-shift, 0), b << max(shift, 0)
    # floor(n / d + 1/2) = floor((2 n + d) / (2 d))
    y = (2 * numerator + divisor) // np.where(divisor == 0, 1, 2 * divisor)
    y = np.where(b == 0, 127 * np.sign(a) - (a < 0), y)
    return np.clip(np.clip(y, -128, 127), *clamp).astype(np.int8)


def prelu(x: np.ndarray, slope: np.ndarray, shift: int, shift_negative: int, clamp=CLAMP) -> np.ndarray:
    """x >= 0: sat8(rshift(x, shift)); x < 0: sat8(rshift(x * slope, shift_negative)); slope: int8, broadcasts."""
    wide = x.astype(np.int64)
    positive = _sat(wide, shift, clamp)
    return np.where(x >= 0, positive, _sat(wide * slope.astype(np.int64), shift_negative, clamp))


def compare(*inputs, relation, shift_a, shift_b, constant=None, constant_first=False) -> np.ndarray:
    """bool: (a << shift_a) `relation` (b << shift_b); relation: equal, not_equal, greater, greater_equal, less, ..."""
    a, b = _operands(inputs, constant, constant_first)
    return getattr(np, relation)(a << shift_a, b << shift_b)


def select(*inputs, shift_a, shift_b, condition=None, a=None, b=None, clamp=CLAMP) -> np.ndarray:
    """sat8(rshift(a, shift_a)) where the condition holds, else sat8(rshift(b, shift_b)); shift_a: e_y - e_a.

    inputs: of condition (bool), a and b (int8) in this order those that are not constant; all broadcast
    """
    given = iter(inputs)
    condition, a, b = (next(given) if one is None else one for one in (condition, a, b))
    return np.where(condition, _sat(a.astype(np.int64), shift_a, clamp), _sat(b.astype(np.int64), shift_b, clamp))


__all__ = [
    "add_broadcast",
    "compare",
    "div",
    "maximum",
    "minimum",
    "mul_broadcast",
    "prelu",
    "select",
    "sub_broadcast",
]
