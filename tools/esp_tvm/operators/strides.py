"""Strides of tensors, and the fields of a strided copy."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from ..kernel_limits import KERNEL_LIMITS
from .base import Refusal

MAX_AXES = KERNEL_LIMITS["MAX_COPY_RANK"]


def steps_of(shape: Sequence[int]) -> List[int]:
    """Elements from one index to the next along each axis of a tensor."""
    steps, step = [], 1
    for size in reversed(shape):
        steps.insert(0, step)
        step *= size
    return steps


def copy_fields(
    shape: Sequence[int], source: Sequence[int], target: Sequence[int], offsets=(0, 0), size: int = 1
) -> dict:
    """The fields of esp_dl_copy_t, in bytes; axes are merged where they are contiguous in both tensors.

    source, target: steps per axis of `shape`, and offsets, all in elements of `size` bytes
    """
    axes = [(n, f * size, t * size) for n, f, t in zip(shape, source, target) if n != 1]
    if size != 1:
        axes.append((size, 1, 1))
    offsets = tuple(offset * size for offset in offsets)
    merged: List[Tuple[int, int, int]] = []
    for n, f, t in axes:
        if merged and merged[-1][1] == f * n and merged[-1][2] == t * n:
            merged[-1] = (merged[-1][0] * n, f, t)
        else:
            merged.append((n, f, t))
    block = 1
    if merged and merged[-1][1:] == (1, 1):
        block = merged.pop()[0]
    if len(merged) > MAX_AXES:
        raise Refusal(f"its copy has {len(merged)} axes, the kernel takes {MAX_AXES}")
    merged = merged or [(1, 0, 0)]
    return {
        "rank": len(merged),
        "shape": [n for n, _, _ in merged],
        "from": [f for _, f, _ in merged],
        "to": [t for _, _, t in merged],
        "from_offset": offsets[0],
        "to_offset": offsets[1],
        "block": block,
        "vectors": not any(v % 16 for v in (block, offsets[1], *(t for _, _, t in merged))),
    }
