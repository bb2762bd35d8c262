"""Windows that move over an image: which input values a tap reads, tap by tap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional, Sequence, Tuple

import numpy as np

from .common import check_ints, check_pair


@dataclass(frozen=True)
class Window:
    """kernel, strides, dilation: (h, w). padding: (top, left, bottom, right). size: (h, w) of input and output."""

    kernel: Tuple[int, int]
    strides: Tuple[int, int]
    dilation: Tuple[int, int]
    padding: Tuple[int, int, int, int]
    input_size: Tuple[int, int]
    output_size: Tuple[int, int]

    def taps(self, x: np.ndarray, fill: int) -> Iterator[Tuple[int, int, np.ndarray]]:
        """(i, j, the values that tap (i, j) reads [n, output h, output w, c]) for all taps of x [n, h, w, c].

        Outside the image a tap reads `fill`.
        """
        before = self.padding[:2]
        after = [max(self._reach(a) - self.input_size[a] - before[a], 0) for a in (0, 1)]
        padded = np.pad(x, [(0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)], constant_values=fill)
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                rows, columns = (
                    slice(start, start + (count - 1) * stride + 1, stride)
                    for start, count, stride in zip(
                        (i * self.dilation[0], j * self.dilation[1]), self.output_size, self.strides
                    )
                )
                yield i, j, padded[:, rows, columns, :]

    def counts(self, include_pad: bool) -> np.ndarray:
        """The number of taps of each window in the image, or in image and padding: int64 [1, output h, output w, 1]."""
        per_axis = []
        for axis in (0, 1):
            before, after = self.padding[axis], self.padding[2 + axis]
            starts = np.arange(self.output_size[axis]) * self.strides[axis] - before
            positions = starts[:, None] + np.arange(self.kernel[axis]) * self.dilation[axis]
            first, end = 0, self.input_size[axis]
            if include_pad:
                first, end = first - before, end + after
            per_axis.append(((positions >= first) & (positions < end)).sum(axis=1))
        return (per_axis[0][:, None] * per_axis[1][None, :])[None, :, :, None].astype(np.int64)

    def _reach(self, axis: int) -> int:
        """Where the last window ends, counted from the start of the padding."""
        last = (self.output_size[axis] - 1) * self.strides[axis]
        return last + (self.kernel[axis] - 1) * self.dilation[axis] + 1


def make_window(
    x: np.ndarray,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    output_size: Optional[Sequence[int]] = None,
) -> Window:
    """The checked window over x [n, h, w, c]. output_size None: as many windows as fit into image and padding."""
    kernel = check_pair("kernel", kernel, 1)
    strides = check_pair("strides", strides, 1)
    dilation = check_pair("dilation", dilation, 1)
    padding = check_ints("padding", padding, 4, 0)  # type: ignore[assignment]
    input_size = x.shape[1:3]
    if output_size is None:
        room = [input_size[a] + padding[a] + padding[2 + a] - (kernel[a] - 1) * dilation[a] - 1 for a in (0, 1)]
        if min(room) < 0:
            raise ValueError(f"a window of {kernel}, dilation {dilation}, does not fit in {input_size} and its padding")
        output_size = [room[a] // strides[a] + 1 for a in (0, 1)]
    return Window(kernel, strides, dilation, padding, input_size, check_pair("output_size", output_size, 1))
