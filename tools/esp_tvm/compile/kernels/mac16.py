"""Convolutions by the MAC16 unit of the ESP32 (esp_dl_esp32.h): when they may be taken, and their weights.

The unit multiplies numbers of 16 bits, a product an instruction, and loads the next two numbers in the same one. So the
rows of the image that a few rows of output need are widened to 16 bits in scratch memory, and the weights of one output
channel at a time, which serve the pixels of all these rows. Where memory is left for one row only, small weights are
stored in 16 bits instead.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

import numpy as np

from ...chips import aligned
from ...operators.base import rounding_bias
from ...operators.conv import pad_field, pad_value, window_fields
from ...program import Call
from .packing import Packed
from .portable import VARIANTS, DenseAsConv2d, dense_as_conv2d
from .variants import Variant, distance_of, pixels_of, window_starts

CHIP = "esp32"
# What is added to every value of the input, and of every four the order, so that they are widened by masks.
_OFFSET, _ORDER = 128, (0, 2, 1, 3)
# Values behind the rows; weights of a channel that are widened in one step, and how many are repeated behind them.
_BEHIND_ROWS, _AT_A_TIME, _REPEATED = 8, 8, 2
# Products are 256 times as large as they are, and sums have 32 bits.
_LARGEST = 2**23 - 1
_MOST_SHIFT = 23
# The most rows of a dense layer that are a row of an image.
_WIDEST = 16
# Bytes of scratch memory for which the arena may grow.
LITTLE_MEMORY = 12 * 1024


def _distance(call: Call, kernel: Sequence[int], rows: int, reads_own: bool) -> int:
    """`distance_of` where so many rows of output are computed together."""
    images, height, width, channels = call.output.shape
    starts = window_starts(call, kernel).reshape(images, height, width).min(axis=2)
    firsts, ends = [], []
    for image in range(images):
        for first in range(0, height, rows):
            last = min(first + rows, height)
            firsts.append(starts[image, first:last].min())
            ends.append((image * height + last) * width * channels)
    return distance_of(np.array(firsts), np.array(ends), reads_own)


class _RowsMac16(Variant):
    """Some rows of the output are computed together, one output channel after the other.

    budget: bytes of scratch memory, which decide how many rows; at least LEAST_ROWS
    """

    LEAST_ROWS = 1

    def __init__(self, budget: int):
        self.budget = budget

    def _bytes(self, call: Call, rows: int) -> int:
        """Of scratch memory for so many rows of output."""
        raise NotImplementedError

    def rows(self, call: Call) -> int:
        """Of the output, that are computed together."""
        height = call.output.shape[1]
        least = min(self.LEAST_ROWS, height)
        return next((rows for rows in range(height, least, -1) if self._bytes(call, rows) <= self.budget), least)

    def scratch(self, call):
        return self._bytes(call, self.rows(call))

    def scratch_in_strips(self, call, rows):
        return self._bytes(call, min(self.rows(call), max(rows, 1)))

    def weight_passes(self, call):
        images, height = call.output.shape[:2]
        return images * -(-height // self.rows(call))


class Conv2dMac16(_RowsMac16):
    """wide: weights are stored in 16 bits"""

    operator = "conv2d"
    kernel = "esp_dl_conv2d_s8_esp32"
    takes = "conv2d_esp32"
    # Flash that weights of 16 bits may take.
    MAX_BYTES = 16 * 1024

    def __init__(self, budget: int, wide: bool = False):
        super().__init__(budget)
        self.wide = wide

    def fits(self, call):
        a = call.attributes
        if a["groups"] != 1 or a["dilation"][1] != 1 or call.output.elements == call.output.shape[3]:
            return False
        shift = np.asarray(a["shift"])
        if shift.min() < 0 or shift.max() > _MOST_SHIFT or not self._sums_fit(call):
            return False
        if self.wide and 2 * call.output.shape[3] * (self._channel(call) + _REPEATED) > self.MAX_BYTES:
            return False
        return self.budget == 0 or self._bytes(call, 1) <= self.budget

    @staticmethod
    def _sums_fit(call: Call) -> bool:
        """Whether every sum, and what is stored as its bias, has 24 bits."""
        a = call.attributes
        weights = a["weights"].reshape(len(a["weights"]), -1).astype(np.int64)
        bias = rounding_bias(a["bias"], a["shift"]).astype(np.int64)
        low, high = min(call.input_range[0], pad_value(call)), max(call.input_range[1], pad_value(call))
        most = np.maximum(weights * low, weights * high).sum(axis=1) + bias
        least = np.minimum(weights * low, weights * high).sum(axis=1) + bias
        stored = np.abs(bias - _OFFSET * weights.sum(axis=1))
        if call.addend is not None:
            largest = 128 << np.asarray(a["addend_shift"], np.int64)
            most, least, stored = most + largest, least - largest, stored + largest
        return int(max(most.max(), -least.min(), stored.max())) <= _LARGEST

    @staticmethod
    def _pixel(call: Call) -> int:
        """Values of a widened pixel of the input: windows begin at multiples of two values."""
        channels = call.inputs[0].shape[3]
        return channels + (channels & call.attributes["strides"][1] & 1)

    def _segment(self, call: Call) -> int:
        """Values of a row of a window."""
        return aligned(call.attributes["weights"].shape[2] * self._pixel(call), 4)

    def _channel(self, call: Call) -> int:
        """Weights of an output channel."""
        return call.attributes["weights"].shape[1] * self._segment(call)

    def _bytes(self, call, rows):
        a, width = call.attributes, call.output.shape[2]
        _, kernel_h, kernel_w, _ = a["weights"].shape
        row = ((width - 1) * a["strides"][1] + kernel_w) * self._pixel(call)
        count = (rows - 1) * a["strides"][0] + (kernel_h - 1) * a["dilation"][0] + 1
        widened = 0 if self.wide else aligned(self._channel(call), _AT_A_TIME) + _REPEATED
        starts = 0 if call.addend is None else 4 * rows * width
        return starts + 2 * (count * aligned(row, 2) + _BEHIND_ROWS + widened)

    def overlap_distance(self, call):
        # All rows that are needed are widened before anything is written.
        return _distance(call, call.attributes["weights"].shape[1:3], self.rows(call), reads_own=False)

    def pack(self, call, low, high):
        weights = call.attributes["weights"]
        outputs, height, width, channels = weights.shape
        pixels = np.zeros((outputs, height, width, self._pixel(call)), np.int8)
        pixels[..., :channels] = weights
        segments = np.zeros((outputs, height, self._segment(call)), np.int8)
        segments[:, :, : width * pixels.shape[3]] = pixels.reshape(outputs, height, -1)
        stream = segments.reshape(outputs, -1)
        # Masks change the order of weights, and of the input's values where its pixels are fours.
        if (channels % 4 == 0) == self.wide:
            stream = stream.reshape(outputs, -1, 4)[:, :, list(_ORDER)].reshape(outputs, -1)
        if self.wide:
            stream = np.concatenate([stream, stream[:, :_REPEATED]], axis=1).astype(np.int16) * 256
        else:
            stream = np.pad(stream, ((0, 0), (0, -stream.shape[1] % _AT_A_TIME)))
        total = weights.reshape(outputs, -1).astype(np.int64).sum(axis=1)
        return Packed(np.ascontiguousarray(stream).reshape(-1), -_OFFSET * total)

    def fields(self, call):
        fields = window_fields(call, call.attributes["weights"].shape[1:3])
        return {**fields, "rows": self.rows(call), "wide": self.wide, **pad_field(call)}


class DepthwiseMac16(_RowsMac16):
    """Windows of 3x3, one filter per channel."""

    # Of fewer rows most values would be widened three times: C would not be slower.
    LEAST_ROWS = 3

    operator = "depthwise_conv2d"
    kernel = "esp_dl_depthwise_conv2d_s8_esp32"
    takes = "depthwise_conv2d_esp32"

    def fits(self, call):
        a, shift = call.attributes, np.asarray(call.attributes["shift"])
        if tuple(a["weights"].shape[:2]) != (3, 3) or tuple(a["dilation"]) != (1, 1) or a["strides"][1] > 2:
            return False
        if call.inputs[0].shape[3] != call.output.shape[3] or shift.min() < 0 or shift.max() > 31:
            return False
        return True

    def _bytes(self, call, rows):
        # Words of two columns.
        strides, columns = call.attributes["strides"], call.output.shape[2]
        return 4 * ((rows - 1) * strides[0] + 3) * (((columns - 1) * strides[1] + 4) // 2 + 1)

    def overlap_distance(self, call):
        # Later channels still read all rows.
        return _distance(call, (3, 3), self.rows(call), reads_own=True)

    def pack(self, call, low, high):
        weights = call.attributes["weights"].reshape(9, -1).T
        return Packed(np.ascontiguousarray(weights), -_OFFSET * weights.astype(np.int64).sum(axis=1))

    def fields(self, call):
        return {**window_fields(call, (3, 3)), "rows": self.rows(call), **pad_field(call)}


class DenseMac16(DenseAsConv2d):
    """Several rows as the pixels of a 1x1 convolution, some of which are a row of the image."""

    kernel = Conv2dMac16.kernel
    takes = Conv2dMac16.takes

    def __init__(self, convolution: Conv2dMac16):
        self.convolution = convolution

    @staticmethod
    def call(call):
        rows = pixels_of(call)
        width = max(size for size in range(1, _WIDEST + 1) if rows % size == 0)
        return dense_as_conv2d(call, 1, rows // width, width)

    def fits(self, call):
        return self.convolution.fits(self.call(call))


# By operator, before those of portable.py: large pieces first, as the weights are widened for each. The last ones take
# the least memory.
_CONVOLUTIONS = [
    *(Conv2dMac16(budget) for budget in (32 * 1024, 16 * 1024, 6 * 1024, 2 * 1024)),
    Conv2dMac16(0, wide=True),
    Conv2dMac16(0),
]
MAC16_VARIANTS: Dict[str, List[Variant]] = {
    "conv2d": [*_CONVOLUTIONS],
    "conv2d_add": [*_CONVOLUTIONS],
    "depthwise_conv2d": [DepthwiseMac16(budget) for budget in (16 * 1024, 4 * 1024, 1024, 0)],
    "dense": [DenseMac16(convolution) for convolution in _CONVOLUTIONS],
}

OWN = (Conv2dMac16, DepthwiseMac16, DenseMac16)


def variants_of(operator: str, chip: Optional[str]) -> List[Variant]:
    """Of an operator, the fastest first: with those for a unit of `chip` that is no vector unit."""
    own = MAC16_VARIANTS.get(operator, []) if chip == CHIP else []
    return [*own, *VARIANTS.get(operator, ())]


def uses_mac16(call: Call) -> bool:
    """Whether the MAC16 unit computes a call."""
    return isinstance(call.variant, OWN)
