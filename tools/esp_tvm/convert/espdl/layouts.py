"""Weights in the order in which ESP-DL's kernels read them, as ONNX has them.

Vector kernels read blocks of 16 output channels (8 of int16) side by side: (N/16)HWC16. The channels that fill no block
follow (`_UNALIGNED`): of an ordinary convolution one after the other, NHWC; of a grouped one beside each other, CHWN.
Kernels in C alone read NHWC, grouped ones HWCN. Of a 1-D convolution H is missing, and is 1 here.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

# Older files leave the brackets out.
_BLOCKS = {"N/16": 16, "N16": 16, "N/8": 8, "N8": 8}


def block_of(layout: str) -> Optional[int]:
    """How many output channels a layout keeps side by side; 0 without blocks; None of a name that is not known."""
    plain = layout.replace("(", "").replace(")", "").replace("_UNALIGNED", "")
    if plain in ("NHWC", "NWC", "HWCN", "WCN"):
        return 0
    for name, size in _BLOCKS.items():
        if plain in (f"{name}HWC{size}", f"{name}WC{size}"):
            return size
    return None


def unblocked(flat: np.ndarray, shape: Tuple[int, int, int, int], block: int, grouped: bool) -> np.ndarray:
    """Weights [N, C, H, W] of their values in stored order; shape: (N, C, H, W); block: as `block_of` says."""
    n, c, h, w = shape
    if block == 0:
        stored = flat.reshape((h, w, c, n) if grouped else (n, h, w, c))
        return stored.transpose((3, 2, 0, 1) if grouped else (0, 3, 1, 2))
    whole = n // block * block
    head, tail = np.split(flat.reshape(-1), [whole * h * w * c])
    blocks = head.reshape(n // block, h, w, c, block).transpose(0, 4, 3, 1, 2).reshape(whole, c, h, w)
    if grouped:
        rest = tail.reshape(c, h, w, n - whole).transpose(3, 0, 1, 2)
    else:
        rest = tail.reshape(n - whole, h, w, c).transpose(0, 3, 1, 2)
    return np.concatenate([blocks, rest])


__all__ = ["block_of", "unblocked"]
