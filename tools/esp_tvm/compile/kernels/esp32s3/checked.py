"""Convolutions on the vector unit of the ESP32-S3 whose sums are checked: most data keep them in the lanes."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ....program import Call
from .convolution import Conv2dLanes, Conv2dWide, instructions_in_parts
from .lanes import (
    LANE_MAX,
    LANES,
    PART_SHIFT,
    addend_factors,
    addend_of,
    copies_rows,
    distance_of_copies,
    distance_of_rows,
    fits_within,
    lanes_can_shift,
    pack_lanes,
    parts_fit_lanes,
    right_shifts,
    side_by_side,
    start_of,
    sums_stay_within,
    with_border,
)

# Where it depends on the data whether sums fit: how many times as long as others the slowest data may take.
SLOWEST = 2.0
# Where sums are checked: of all pixels done, those that may be computed in vain before the next are tried.
_IN_VAIN = 1 / 32


class Conv2dChecked(Conv2dLanes):
    """Sixteen channels at a time, where a segment's sum fits but that of all may not: checked while they grow.

    Weights that do not stay in the cache are read in blocks of channels, as by `Conv2dWide`.
    """

    BLOCK = 32 * 1024

    def __init__(self, rows: bool, check_bits: int, check_every: int = 1):
        self.rows, self.check_bits, self.check_every = rows, check_bits, check_every

    def by_taps(self, call):
        return not self.rows or super().by_taps(call)

    def fits_range(self, call, low, high):
        return self.sums_fit(call, low, high) and self.segments_fit(call, low, high)

    def sums_fit(self, call: Call, low: int, high: int) -> bool:
        """What `fits_range` asks of whole sums, in whatever segments they are checked."""
        shift = call.attributes["shift"]
        if not self._takes(call) or np.min(shift) < PART_SHIFT or not lanes_can_shift(shift):
            return False
        low, high = with_border(call, low, high)
        weights, bias = call.attributes["weights"], start_of(call)
        weights = weights.reshape(len(weights), -1)
        if np.max(np.abs(bias) + addend_of(call)) > self._bound:
            return False
        if not parts_fit_lanes(weights, bias, low, high, addend_of(call)):
            return False
        return sums_stay_within(weights, bias, shift, low, high, self._bound)

    def segments_fit(self, call: Call, low: int, high: int) -> bool:
        """What `fits_range` asks of the segments."""
        if call.inputs[0].shape[3] % LANES or call.output.shape[3] % LANES:
            return False
        low, high = with_border(call, low, high)
        segments = self.segmented(call)
        if segments.shape[1] == 1:
            return False
        weights = segments.reshape(len(segments), -1)
        unchecked = self.check_every * segments.shape[2]
        parts = (weights[:, i : i + unchecked] for i in range(0, weights.shape[1], unchecked))
        if not all(fits_within(part, low, high, LANE_MAX - self._bound) for part in parts):
            return False
        return self.slowest(call) <= SLOWEST and self.instructions(call) < Conv2dWide().instructions(call)

    @property
    def _bound(self) -> int:
        """Of sums where they are checked."""
        return 2 ** (7 + self.check_bits)

    def instructions(self, call: Call) -> int:
        """Of sixteen channels of a pixel whose sums fit."""
        return self._instructions(call)[0]

    def _counted(self, call):
        return self.instructions(call) + 12

    def _instructions(self, call: Call) -> Tuple[int, int]:
        """Of sixteen channels of a pixel, counted in the assembly: checked, and in two parts."""
        _, count, length = self.segmented(call).shape
        block = self.block(call)
        begin = (80 + 4 * count) * LANES // block if block else 0
        looks = (count - 1) // self.check_every * 14 + count * (self.check_every - 1)
        once = count * (5 + length * 17 // 16) + looks + 28 + begin
        return once, instructions_in_parts(count, length) + begin

    def leaves(self, call: Call, mean: np.ndarray, deviation: np.ndarray) -> bool:
        """Whether sums of usual data are probably not within the bound where they are checked, so that most pixels are
        computed in two parts: to three deviations, where inputs deviate each by itself.

        mean, deviation: [C] of the input's whole numbers, by channel
        """
        segments = self.segmented(call).astype(np.float64)
        taps = segments.shape[2] // len(mean)
        sums = start_of(call)[:, None] + np.cumsum(segments @ np.tile(mean, taps), axis=1)
        spread = np.sqrt(np.cumsum(segments**2 @ np.tile(deviation**2, taps), axis=1))
        checked = np.arange(self.check_every - 1, segments.shape[1] - 1, self.check_every)
        return bool((np.abs(sums) + 3 * spread)[:, checked].max(initial=0.0) > 2 ** (7 + self.check_bits))

    def block(self, call: Call) -> int:
        """Channels of a block of weights; 0: they are one."""
        size = call.attributes["weights"].size
        return max(self.BLOCK * call.output.shape[3] // size // LANES, 1) * LANES if size > self.LARGE else 0

    def body(self, call, c):
        block = self.block(call)
        if block == 0:
            return super().body(call, c)
        segments, start, shift = self.segmented(call), start_of(call), right_shifts(call.attributes["shift"])
        some = [slice(first, first + block) for first in range(0, len(segments), block)]
        factors = addend_factors(call)
        blocks = (
            pack_lanes(segments[one], start[one], shift[one], factors=None if factors is None else factors[one])
            for one in some
        )
        packed, block_bytes = side_by_side(list(blocks))
        return {**self._fields(call, c, packed, 0), "block": block, "block_bytes": block_bytes}

    def weight_passes(self, call):
        return 1 if self.block(call) else super().weight_passes(call)

    def _room(self, call: Call) -> float:
        """How many times all pixels may be computed in vain at first so that the slowest data take no more than twice
        as long as others."""
        once, parts = self._instructions(call)
        return SLOWEST - parts / once - _IN_VAIN

    def at_a_time(self, call):
        if self.block(call):
            return 1
        images, height, width, _ = call.output.shape
        return max(min(int(self._room(call) * images * height * width), width), 1)

    def slowest(self, call):
        first = self.at_a_time(call) / np.prod(call.output.shape[:3])
        return float(SLOWEST - self._room(call) + first)

    def scratch(self, call):
        return super().scratch(call) + 64

    def keeps_addend(self, call):
        return True  # a row may be computed again

    def overlap_distance(self, call):
        if self.block(call):
            return None  # all is read again for every block
        kernel = call.attributes["weights"].shape[1:3]
        # A row may be computed again.
        return distance_of_copies(call, kernel) if copies_rows(call, kernel) else distance_of_rows(call, kernel)
