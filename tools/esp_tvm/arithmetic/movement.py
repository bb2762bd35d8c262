"""Operators that move values and compute nothing."""

from __future__ import annotations

from typing import Sequence

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
