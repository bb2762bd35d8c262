"""Convolutions of 3x3 by minimal filtering: F(4x4, 3x3), exact in integers (docs/memory.md)."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ...kernel_limits import KERNEL_LIMITS
from ...operators.conv import pad_field, window_fields
from ...program import Call
from .packing import pack_winograd
from .variants import Variant, distance_of, pixels_of, shifts_right, window_starts


class Conv2dWinograd(Variant):
    """3x3 windows by minimal filtering, four tiles of 4x4 pixels by four output channels.

    block: of so many input channels the weights are transformed at a time: more take fewer instructions
    """

    operator = "conv2d"
    kernel = "esp_dl_conv2d_s8_winograd"
    for_spare_memory = True
    TILES, OUTPUTS, MAX_CHANNELS = (KERNEL_LIMITS[f"WINOGRAD_{name}"] for name in ("TILES", "OUTPUTS", "MAX_CHANNELS"))
    POINTS = 36
    # Sums of products, which the kernel divides, have so many bits.
    SUM_BITS = 26
    # It is taken where it saves this part of the instructions.
    WORTH = 0.1

    def __init__(self, block: int):
        self.block = block

    def computes(self, call: Call) -> bool:
        """Whether it gives the bytes of the plain kernel."""
        a = call.attributes
        if a["groups"] != 1 or a["weights"].shape[1:3] != (3, 3) or not shifts_right(call):
            return False
        if tuple(a["strides"]) != (1, 1) or tuple(a["dilation"]) != (1, 1):
            return False
        if a["weights"].shape[3] > self.MAX_CHANNELS:
            return False
        largest = 128 * int(np.abs(a["weights"].astype(np.int64)).sum(axis=(1, 2, 3)).max())
        return largest < 2 ** (self.SUM_BITS - 1)

    def fits(self, call):
        return self.fits_rows(call, [call.output.shape[1]])

    def fits_rows(self, call: Call, rows: Sequence[int]) -> bool:
        """The same where a call is computed in strips of so many rows, one after the other."""
        # Not the same as with a smaller block.
        if self.block > max(call.attributes["weights"].shape[-1], _SMALLEST_BLOCK) or not self.computes(call):
            return False
        return self.instructions_in_strips(call, rows) < (1 - self.WORTH) * self._instructions_6x2(call)

    def fits_strips(self, call, parts, rows):
        return all(map(self.computes, parts)) and self.fits_rows(call, rows)

    def instructions_in_strips(self, call, rows):
        outputs, channels = call.output.shape[3], call.inputs[0].shape[3]
        in_strips = [self._tiles(call, one) for one in rows]
        tiles, passes = sum(in_strips), sum(-(-one // self.TILES) for one in in_strips) * -(-outputs // self.OUTPUTS)
        products = 43 * self.POINTS * channels + 47 * self.POINTS * -(-channels // self.block)
        transforms = passes * 137 * self.OUTPUTS * channels + tiles * (390 * channels + 560 * outputs + 2000)
        return passes * products + transforms

    @staticmethod
    def _instructions_6x2(call: Call) -> float:
        pixels, channels = pixels_of(call), call.output.shape[3]
        return pixels * (9 * call.inputs[0].shape[3] * (1.63 * channels + 6) + 19 * channels)

    @staticmethod
    def _tiles(call: Call, rows: int) -> int:
        images, _, width, _ = call.output.shape
        return images * -(-rows // 4) * -(-width // 4)

    def weight_passes(self, call):
        return -(-self._tiles(call, call.output.shape[1]) // self.TILES)

    def scratch(self, call):
        numbers = self.TILES * call.inputs[0].shape[3] + self.OUTPUTS * self.block
        return self.POINTS * (4 * self.TILES * self.OUTPUTS + 2 * numbers)

    def overlap_distance(self, call):
        images, height, width, channels = call.output.shape
        starts = window_starts(call, (3, 3)).reshape(images, height, width)[:, ::4, ::4].reshape(-1)
        rows = np.minimum(np.arange(4, height + 4, 4), height) - 1
        columns = np.minimum(np.arange(4, width + 4, 4), width)
        ends = (np.arange(images)[:, None, None] * height + rows[:, None]) * width + columns
        # Where four tiles begin: they are read before any of them is written.
        groups = np.arange(0, len(starts), self.TILES)
        written = np.maximum.accumulate(np.maximum.reduceat(ends.reshape(-1) * channels, groups))
        return distance_of(np.minimum.reduceat(starts, groups), written, reads_own=False)

    def pack(self, call, low, high):
        return pack_winograd(call.attributes["weights"], self.block)

    def fields(self, call):
        return {**window_fields(call, call.attributes["weights"].shape[1:3]), "groups": 1, **pad_field(call)}


_SMALLEST_BLOCK = 8
WINOGRAD = [Conv2dWinograd(block) for block in (32, 16, 12, _SMALLEST_BLOCK)]
