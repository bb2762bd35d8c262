"""The pads that auto_pad SAME stands for."""

from __future__ import annotations

from typing import List, Sequence, Tuple


def same_pads(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], upper: bool
) -> Tuple[List[int], List[int]]:
    """(before, after) along each axis of the image, as ONNX Runtime's convolutions and pools have them.

    Below zero where strides are longer than the window: so many rows or columns are left out.
    upper: SAME_UPPER, else SAME_LOWER
    """
    before, after = [], []
    for size, window, stride, dilation in zip(sizes, kernel, strides, dilations):
        total = (-(-size // stride) - 1) * stride + (window - 1) * dilation + 1 - size
        # Towards 0, as in C++.
        before.append(int((total if upper else total + 1) / 2))
        after.append(total - before[-1])
    return before, after
