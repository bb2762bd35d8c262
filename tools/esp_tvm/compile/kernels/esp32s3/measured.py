"""Convolutions on the ESP32-S3 whose sums fit their lanes for the data that occur, not for all: measured row by row.

By the inequality of Cauchy and Schwarz a sum of products is at most the product of the norms of both sides. Those of
weights are known here; that of the input's windows the kernel measures, once for all output channels.
"""

from __future__ import annotations

from typing import Sequence, Tuple, Union

import numpy as np

from ....program import Call
from ..variants import distance_of, pixels_of, window_starts
from .checked import SLOWEST
from .convolution import Conv2dLanes, Conv2dWide, instructions_in_parts
from .lanes import (
    LANE_MAX,
    LANES,
    PART_SHIFT,
    addend_of,
    can_shift_left,
    copies_rows,
    distance_of_copies,
    distance_of_rows,
    is_one_row,
    lanes_can_shift,
    parts_fit_lanes,
    start_of,
    with_border,
)

# Where pixels follow each other through all rows, so many are measured at once.
_PIXELS = 64
_MOST_ENERGY = 2**31 - 1
# Behind a relu half of all values are zeros: of what others hold, this part.
_OF_RELU = 0.7


def zero_of(weights: np.ndarray, bias: np.ndarray, low: int) -> int:
    """What of the input probably stands for 0: 0 or, in tensors that are centred behind a relu, its lowest value.

    The products of that value and the weights lie in the bias, which is small without them. weights [O, K], bias [O]
    """
    sums = weights.astype(np.int64).sum(axis=1)
    return min((0, min(low, 0)), key=lambda zero: float(np.median(np.abs(bias + zero * sums))))


def largest_norm(
    weights: np.ndarray, bias: np.ndarray, low: int, zero: int, addend: Union[int, np.ndarray] = 0
) -> float:
    """The norm of x - zero up to which no sum of bias + x * weights leaves 20 bits in the order of products, for x
    of at least `low`; negative: the bias leaves them.

    weights [O, K], bias [O] with the half that rounding adds; addend [O]: the magnitude of what is added before
    """
    wide, most = weights.astype(np.int64), LANE_MAX - np.reshape(addend, (-1, 1))
    before = np.zeros((len(wide), 1), np.int64)
    start = bias[:, None] + zero * np.concatenate([before, np.cumsum(wide, axis=1)], axis=1)
    if np.any(np.abs(start) > most):
        return -1.0
    # Where x - zero is not negative, only weights of one sign bring a sum nearer to the end of its lane.
    signs = (np.maximum(wide, 0), np.minimum(wide, 0)) if low >= zero else (wide, wide)
    limits = []
    for sign, part in zip((1, -1), signs):
        norms = np.sqrt(np.concatenate([before, np.cumsum(part**2, axis=1)], axis=1))
        limits.append((most - sign * start)[norms > 0] / norms[norms > 0])
    return float(min([limit.min() for limit in limits if limit.size], default=np.inf))


class Conv2dMeasured(Conv2dLanes):
    """Sixteen channels at a time; rows that do not fit in two parts.

    usual: what rows of windows are not above, a part of the input's range: root of the mean square, from the zero
    kernels: sizes of windows
    """

    def __init__(self, usual: float, kernels: Sequence[Tuple[int, int]] = ((1, 1), (3, 3))):
        self.usual, self.kernels = usual, kernels

    def path(self, call):
        return "ESP_DL_CONV2D_MEASURED"

    def gathers(self, call):
        return False

    def has_three_rows(self, call):
        return False

    def _is_open(self, call):
        return False

    def fits_range(self, call, low, high):
        a = call.attributes
        kernel, channels = a["weights"].shape[1:3], call.inputs[0].shape[3]
        if not self._takes(call) or channels % LANES or call.output.shape[3] % LANES or tuple(a["dilation"]) != (1, 1):
            return False
        if kernel not in self.kernels or copies_rows(call, kernel) != (kernel == (3, 3)) or not can_shift_left(call):
            return False
        if not lanes_can_shift(a["shift"]) or np.min(a["shift"]) < PART_SHIFT:
            return False
        # Those that do not stay in the cache would be read from flash again and again.
        if a["weights"].size > self.LARGE and self.weight_passes(call) > 1:
            return False
        return self._holds_usual(call, low, high)

    def _holds_usual(self, call: Call, low: int, high: int) -> bool:
        """Whether lanes hold what rows of windows usually hold, and two parts all; and that pays."""
        low, high = with_border(call, low, high)
        weights, bias = self.segmented(call).reshape(call.output.shape[3], -1), start_of(call)
        zero = zero_of(weights, bias, low)
        usual = self.usual * max(high - zero, zero - low) * np.sqrt(weights.shape[1]) * (_OF_RELU if zero < 0 else 1)
        addend = addend_of(call)
        if largest_norm(weights, bias, low, zero, addend) < usual:
            return False
        if not parts_fit_lanes(weights, bias, low, high, addend):
            return False
        return self.slowest(call) <= SLOWEST and self._pays(call)

    def _pays(self, call: Call) -> bool:
        """Whether rows that fit gain as much as others lose, by estimates."""
        once, parts = self._instructions(call)
        return once + parts <= 2 * Conv2dWide().instructions(call)

    def _instructions(self, call: Call) -> Tuple[float, float]:
        """Of sixteen channels of a pixel, counted in the assembly: of those that fit, and in two parts."""
        _, count, length = self.segmented(call).shape
        shared = self._shared(call)
        # Three rows of 48 bytes: by code of their own.
        once = 179 if (count, length) == (3, 3 * LANES) else count * (5 + length * 17 // 16) + 28
        return once + shared, instructions_in_parts(count, length) + shared

    def _shared(self, call: Call) -> float:
        """Of these, what is done once for all channels: what is measured, and about 12 to copy rows."""
        strides, vectors = call.attributes["strides"], call.inputs[0].shape[3] // LANES
        rows = min(strides[0], self.segmented(call).shape[1])
        return (rows * strides[1] * (7 + 3 * vectors) + 12) * LANES / call.output.shape[3]

    def _counted(self, call):
        # Rows that fit, beside the same without measuring.
        if self.segmented(call).shape[1:] == (3, 3 * LANES) and tuple(call.attributes["strides"]) == (1, 1):
            return self._instructions(call)[0]
        return super()._counted(call) + 1.25 * self._shared(call)

    def slowest(self, call):
        once, parts = self._instructions(call)
        return float(parts / once)

    def at_a_time(self, call):
        width = call.output.shape[2]
        return max(_PIXELS // width, 1) * width

    def weight_passes(self, call):
        if not is_one_row(call):
            return call.output.shape[0] * call.output.shape[1]
        return -(-pixels_of(call) // self.at_a_time(call))

    def run(self, call):
        return 0

    def overlap_distance(self, call):
        kernel = call.attributes["weights"].shape[1:3]
        if copies_rows(call, kernel):
            return distance_of_copies(call, kernel)
        if not is_one_row(call):
            return distance_of_rows(call, kernel)
        starts, pixels = window_starts(call, kernel), self.at_a_time(call)
        firsts = np.arange(0, len(starts), pixels)
        ends = np.minimum(firsts + pixels, len(starts)) * call.output.shape[3]
        return distance_of(np.minimum.reduceat(starts, firsts), ends, reads_own=True)

    def _limit(self, call: Call) -> Tuple[int, int]:
        """(what stands for 0; the most energy of a row of windows that fits, as measured; -1: none)."""
        low, _ = with_border(call, *call.input_range)
        weights, bias = self.segmented(call).reshape(call.output.shape[3], -1), start_of(call)
        zero = zero_of(weights, bias, low)
        # x - zero lies within 1 of twice what is measured, (x >> 1) - (zero >> 1).
        norm = (largest_norm(weights, bias, low, zero, addend_of(call)) - np.sqrt(weights.shape[1])) / 2
        return zero, int(min(norm**2 * (1 - 1e-9), _MOST_ENERGY)) if norm >= 0 else -1

    def body(self, call, c):
        zero, most_energy = self._limit(call)
        return {**super().body(call, c), "zero": zero, "most_energy": most_energy}


class Conv2dMeasuredWindows(Conv2dMeasured):
    """The same of windows of few bytes in a row, as of first layers: they are put together, and measured there."""

    def path(self, call):
        return "ESP_DL_CONV2D_GATHERED"

    def gathers(self, call):
        return self.can_gather(call)

    def in_columns(self, call):
        return False

    def fits_range(self, call, low, high):
        shift = call.attributes["shift"]
        if not self._takes(call) or not lanes_can_shift(shift) or np.min(shift) < PART_SHIFT or not self.gathers(call):
            return False
        if self.segmented(call).shape[2] % LANES or call.attributes["weights"].size > self.LARGE:
            return False
        return self._holds_usual(call, low, high)

    def _pays(self, call):
        # Also what is computed in two parts is faster.
        return self._instructions(call)[1] <= Conv2dWide().instructions(call)

    def _instructions(self, call):
        shared, length = self._shared(call), self.segmented(call).shape[2]
        return 33 + length * 17 // 16 + shared, instructions_in_parts(1, length) + shared

    def _shared(self, call):
        """What is put together, and measured."""
        _, segments, length = self._segments(call).shape
        vectors = self.segmented(call).shape[2] // LANES
        return (segments * (4 + (length + 3) // 4 * 2) + 15 + 3 * vectors) * LANES / call.output.shape[3]

    def at_a_time(self, call):
        return self.run(call)

    def weight_passes(self, call):
        return Conv2dLanes.weight_passes(self, call)

    def run(self, call):
        return Conv2dLanes.run(self, call)

    def overlap_distance(self, call):
        return Conv2dLanes.overlap_distance(self, call)

    def body(self, call, c):
        return {**super().body(call, c), "measured": True}
