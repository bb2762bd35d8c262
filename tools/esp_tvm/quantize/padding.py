"""The border around images that convolutions and pools read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np
import onnx

from ..onnx_graph import attribute


@dataclass(frozen=True)
class Padding:
    """What a Conv reads around its image where that is not 0: its node has no padding, and a Pad stands before it.

    before, after: places along each axis of the image; value: a real number
    """

    before: Tuple[int, ...]
    after: Tuple[int, ...]
    value: float

    def around(self, x: np.ndarray, value: float) -> np.ndarray:
        """x [..., *image] with `value`, which is the padding's in the unit of x, around each image."""
        inner = x.shape[x.ndim - len(self.before) :]
        shape = [first + size + last for first, size, last in zip(self.before, inner, self.after)]
        result = np.full((*x.shape[: x.ndim - len(inner)], *shape), value, x.dtype)
        result[(..., *(slice(first, first + size) for first, size in zip(self.before, inner)))] = x
        return result


def padding_of(node: onnx.NodeProto, kernel: Sequence[int], image: Sequence[int], places: Sequence[int]):
    """(before, after): the places around an image that the windows of a Conv or pool reach, along each of its axes."""
    axes = range(len(kernel))
    strides = attribute(node, "strides") or [1] * len(axes)
    dilations = attribute(node, "dilations") or [1] * len(axes)
    auto = attribute(node, "auto_pad", b"NOTSET").decode()
    before = list(attribute(node, "pads") or [0] * 2 * len(axes))[: len(axes)]
    after = []
    for axis in axes:
        span = (kernel[axis] - 1) * dilations[axis] + 1
        needed = max((places[axis] - 1) * strides[axis] + span - image[axis], 0)
        if auto.startswith("SAME"):
            before[axis] = needed // 2 if auto == "SAME_UPPER" else needed - needed // 2
        after.append(max(needed - before[axis], 0))
    return tuple(before), tuple(after)
