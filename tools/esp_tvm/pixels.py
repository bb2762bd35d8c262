"""What pixels stand for in a model: scale, mean and standard deviation."""

from __future__ import annotations

from fractions import Fraction
from typing import Sequence

import numpy as np


def pixel_table(scale: Fraction, mean: Sequence[Fraction], std: Sequence[Fraction]) -> np.ndarray:
    """float32 [channels, 256]: (pixel * scale - mean[c]) / std[c] of the pixels 0 to 255, computed exactly and rounded
    once."""
    rows = [[float((pixel * scale - m) / s) for pixel in range(256)] for m, s in zip(mean, std)]
    return np.array(rows, np.float64).astype(np.float32)
