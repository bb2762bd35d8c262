"""Convolutions on the vector unit of the ESP32-S3: when they may be taken, and their weights (esp_dl_esp32s3.h).

Where it is proved (lanes.py) that no sum leaves a lane of 20 bits, sixteen channels are computed at once. Where
it is not so, sums grow in the accumulator of 40 bits, which holds all that int32 does, one channel at a time.
"""

from __future__ import annotations

from typing import Dict

import numpy as np

from ....kernel_limits import KERNEL_LIMITS
from ....operators.base import rounding_bias
from ....operators.conv import addend_field, pad_field, window_fields
from ....program import Call
from ..variants import distance_of, pixels_of, window_starts
from .lanes import (
    GATHER_BYTES,
    LANES,
    NO_BORDER,
    Esp32s3Variant,
    addend_factors,
    addend_of,
    addend_vectors,
    aligned,
    border_bytes,
    border_fields,
    bounds_of,
    can_shift_left,
    copies_rows,
    distance_of_copies,
    distance_of_rows,
    distance_of_runs,
    is_one_row,
    is_open,
    lanes_can_shift,
    left_fields,
    pack_lanes,
    pack_wide,
    right_shifts,
    run_of,
    side_by_side,
    start_of,
    sums_fit_lanes,
    vectors_of,
    with_border,
)

# Bytes of a segment that the kernel copies.
_MAX_GATHERED = KERNEL_LIMITS["MAX_GATHERED"]
# Bytes of the longest window that is computed by code of its own.
_MAX_HELD = KERNEL_LIMITS["MAX_HELD"]
# Outputs that are no multiple of 16 are computed in scratch memory with more that make them one, so many bytes at once.
LINE_BYTES = 1536
# Of fewer pixels there is nothing to gain.
_LEAST_IN_LINES = 4


def instructions_in_parts(segments: int, length: int) -> int:
    """Of sixteen channels of a pixel that is computed in two parts, counted in the assembly."""
    return segments * ((7 if segments == 3 else 11) + length * 35 // 16) + 35


def _gathered(length: int) -> int:
    """Bytes of a window that is put together from `length`."""
    return (length + 7) // 8 * 8 if length <= _MAX_HELD else aligned(length)


class Conv2dLanes(Esp32s3Variant):
    """Sixteen channels at a time, sums proved to fit 20 bits."""

    operator = "conv2d"
    kernel = "esp_dl_conv2d_s8_esp32s3"
    # Bytes for sums, per channel.
    sums = 0
    # Where sums are checked, after every `check_every` segments: then they have to lie within 2^(7 + check_bits).
    check_bits = check_every = 0
    # Sixteen channels of a row of pixels, then the next sixteen.
    _ROW_AFTER_ROW = ("ESP_DL_CONV2D_ONE", "ESP_DL_CONV2D_HELD", "ESP_DL_CONV2D_NINE", "ESP_DL_CONV2D_THREE")
    # Bytes of weights that do not stay in the cache (64 kB) beside other data, and beside their biases and shifts.
    LARGE = 44 * 1024

    def by_taps(self, call: Call) -> bool:
        """Whether segments are taps."""
        return call.attributes["dilation"][1] != 1

    def segmented(self, call: Call) -> np.ndarray:
        """Weights [O, segments, bytes] as the kernel multiplies them."""
        segments = self._segments(call)
        if self.has_three_rows(call):
            return np.pad(segments.reshape(len(segments), 1, -1), ((0, 0), (0, 0), (0, 1)))
        if not self.gathers(call):
            return segments
        segments = segments.reshape(len(segments), 1, -1)
        length = segments.shape[2]
        return np.pad(segments, ((0, 0), (0, 0), (0, _gathered(length) - length)))

    def can_gather(self, call: Call) -> bool:
        """Whether the segments of a window can be put together before."""
        outputs, segments, length = self._segments(call).shape
        if outputs % LANES or segments == 1 or length > _MAX_GATHERED:
            return False
        return call.inputs[0].shape[3] % LANES != 0

    def gathers(self, call: Call) -> bool:
        """Whether they are, as it takes fewer instructions."""
        outputs, segments, length = self._segments(call).shape
        if self.sums or self.check_bits or self.has_three_rows(call) or not self.can_gather(call):
            return False
        # Estimates, counted in the assembly: of every segment, of sixteen channels, of the copy.
        alone = outputs // LANES * (segments * (9 + (length + 1) // 2 * 2) + 45)
        window = _gathered(segments * length)
        together = outputs // LANES * (window * 17 // 16 + (16 if window <= _MAX_HELD else 30))
        return together + segments * (4 + (length + 3) // 4 * 2) + 8 < alone

    def in_columns(self, call: Call) -> bool:
        """Whether segments are put together once for all windows of a column of pixels, which overlap there."""
        a, (_, segments, length) = call.attributes, self._segments(call).shape
        if not self.gathers(call) or self.by_taps(call) or a["dilation"][0] != 1 or segments <= a["strides"][0]:
            return False
        window, step = _gathered(segments * length), a["strides"][0] * length
        if window > _MAX_HELD or length % 4 or step % (8 if window % LANES else LANES):
            return False
        # What is read of the rows beside a window's lies in the image; everything is set up once for a column.
        _, _, width, channels = call.inputs[0].shape
        before = a["padding"][1] * channels
        behind = (call.output.shape[2] - 1) * a["strides"][1] * channels - before + length - width * channels
        return max(before, behind) <= width * channels and call.output.shape[1] >= 8

    def has_three_rows(self, call: Call) -> bool:
        """Whether there is code of its own for three rows of this length: of three channels, or of pairs of them."""
        outputs, segments, length = self._segments(call).shape
        if self.sums or self.check_bits or self.by_taps(call):
            return False
        return outputs % LANES == 0 and segments == 3 and length in (9, 15) and call.addend is None

    def _segments(self, call: Call) -> np.ndarray:
        """Weights [O, segments, bytes]: a segment is a row of the window, or a tap of a dilated one."""
        weights = call.attributes["weights"]
        outputs, height, width, channels = weights.shape
        if not self.by_taps(call):
            return weights.reshape(outputs, height, width * channels)
        return weights.reshape(outputs, height * width, channels)

    def _takes(self, call: Call) -> bool:
        return call.attributes["groups"] == 1 and can_shift_left(call)

    def fits_range(self, call, low, high):
        if not self._takes(call) or not lanes_can_shift(call.attributes["shift"]):
            return False
        weights = call.attributes["weights"]
        rows = weights.reshape(len(weights), -1)
        return sums_fit_lanes(rows, start_of(call), *with_border(call, low, high), addend_of(call))

    def scratch(self, call):
        if self.in_columns(call):
            return aligned(self._segments(call).shape[1] * 8) + self._strip_bytes(call)
        sums = aligned(self.sums * call.output.shape[3])
        window, channels = call.attributes["weights"].shape[1:3], call.inputs[0].shape[3]
        copied = aligned(self.run(call) * channels)
        if self.has_lines(call):
            # What is added to them, too.
            copied = self.run(call) * aligned(call.output.shape[3]) * (1 if call.addend is None else 2)
        if self.gathers(call):
            copied = aligned(self.run(call) * self.segmented(call).shape[2]) + LANES
        return aligned(self._segments(call).shape[1] * 8) + sums + copied + border_bytes(call, window)

    def _strip_bytes(self, call: Call) -> int:
        """Of the columns of the input that a column of windows reads, one row behind the other."""
        _, segments, length = self._segments(call).shape
        rows = (call.output.shape[1] - 1) * call.attributes["strides"][0] + segments
        return aligned(rows * length) + LANES

    def counted(self, call):
        groups = pixels_of(call) * aligned(call.output.shape[3]) // LANES
        return groups * (self._counted(call) + self.of_addend(call))

    @staticmethod
    def of_addend(call: Call) -> float:
        """Instructions of sixteen channels of a pixel for what is added to them, counted in the assembly."""
        return 0 if call.addend is None else 11 + addend_vectors(call)

    def _counted(self, call: Call) -> float:
        """Of sixteen channels of a pixel."""
        _, count, length = self.segmented(call).shape
        # Three rows of 48 bytes: by code of their own.
        return 182 if (count, length) == (3, 3 * LANES) else count * (15 + length * 17 / 16)

    def path(self, call: Call) -> str:
        """How rows of pixels are computed: a value of esp_dl_conv2d_path_t."""
        if self.sums:
            return "ESP_DL_CONV2D_WIDE"
        if self.has_three_rows(call):
            return "ESP_DL_CONV2D_THREE"
        if self.gathers(call):
            return "ESP_DL_CONV2D_COLUMNS" if self.in_columns(call) else "ESP_DL_CONV2D_GATHERED"
        if not self._holds_shifts(call):
            return "ESP_DL_CONV2D_LANES"
        _, height, width, channels = call.attributes["weights"].shape
        if (height, width, channels) == (3, 3, LANES) and not self.by_taps(call):
            return "ESP_DL_CONV2D_NINE"
        return "ESP_DL_CONV2D_ONE" if (height, width) == (1, 1) and channels <= _MAX_HELD else "ESP_DL_CONV2D_HELD"

    def weight_passes(self, call):
        rows = 1 if is_one_row(call) else call.output.shape[0] * call.output.shape[1]
        path = self.path(call)
        if self.has_lines(call):
            return rows * -(-pixels_of(call) // rows // self.run(call))
        if path in self._ROW_AFTER_ROW:
            return rows
        if path == "ESP_DL_CONV2D_COLUMNS":
            return call.output.shape[0] * call.output.shape[2]
        if path == "ESP_DL_CONV2D_GATHERED":
            return rows * -(-call.output.shape[2] // self.run(call))
        return pixels_of(call)

    def input_passes(self, call):
        if self.path(call) not in self._ROW_AFTER_ROW:
            return 1, 0
        _, _, width, channels = call.inputs[0].shape
        rows = call.attributes["weights"].shape[1] * width * channels
        rows = call.inputs[0].bytes if is_one_row(call) else rows
        if self.has_lines(call):
            rows = min(rows, self.run(call) * call.attributes["strides"][1] * channels)
        return -(-call.output.shape[3] // LANES), rows

    def run(self, call: Call) -> int:
        """Pixels whose windows are put together, or that are copied where the output overlaps the input, at a time."""
        kernel = call.attributes["weights"].shape[1:3]
        if self.in_columns(call):
            return 0
        if self.gathers(call):
            return max(GATHER_BYTES // self.segmented(call).shape[2], 1)
        if self.has_lines(call):
            row = pixels_of(call) if is_one_row(call) else call.output.shape[2]
            return min(max(LINE_BYTES // aligned(call.output.shape[3]), 1), row)
        if kernel == (1, 1) and self._holds_shifts(call) and not copies_rows(call, kernel):
            return run_of(call)
        return 0

    def at_a_time(self, call: Call) -> int:
        """Where sums are checked, pixels of a row that are computed before it is known whether their sums fit."""
        return 0

    def overlap_distance(self, call):
        kernel = call.attributes["weights"].shape[1:3]
        if self.in_columns(call):
            return None  # the last column still reads all rows
        if not copies_rows(call, kernel):
            if self.gathers(call) or self.has_three_rows(call):
                return distance_of_rows(call, kernel)
            starts = window_starts(call, kernel)
            if kernel == (1, 1) and self._holds_shifts(call):
                return distance_of_runs(call, starts, self.run(call))
            return distance_of(starts, (np.arange(len(starts)) + 1) * call.output.shape[3], reads_own=True)
        return distance_of_copies(call, kernel)

    def body(self, call, c):
        a = call.attributes
        shift = right_shifts(a["shift"])
        options = {"masks": bounds_of(call)} if self._is_open(call) else {}
        options["factors"] = addend_factors(call)
        packed = pack_lanes(self.segmented(call), start_of(call), shift, self.has_three_rows(call), **options)
        return self._fields(call, c, packed, 0)

    def emit(self, call, c, inputs, output):
        if call.addend is None:
            super().emit(call, c, inputs, output)
            return
        added = {"factors": addend_vectors(call), "addend_shift": "NULL"}
        if self.sums:
            added = {"factors": 0, **addend_field(call, c)}
        parameters = c.struct("esp_dl_conv2d_add_esp32s3_t", conv2d=self.body(call, c), **added)
        scratch = ["scratch"] if self.scratch(call) else []
        c.call(self.name(call), *inputs, parameters, *scratch, output)

    def _holds_shifts(self, call: Call) -> bool:
        """Whether sixteen channels of many pixels are computed after the other."""
        _, height, width, channels = call.attributes["weights"].shape
        if self.sums or self.check_bits or call.output.shape[3] % 4:
            return False
        if call.output.shape[3] % LANES and pixels_of(call) < _LEAST_IN_LINES:
            return False
        if self.gathers(call) or self.has_three_rows(call):
            return True
        if (height, width) == (1, 1):
            return channels % LANES == 0 or (channels % 8 == 0 and channels <= _MAX_HELD)
        return channels % LANES == 0 and copies_rows(call, (height, width))

    def has_lines(self, call: Call) -> bool:
        """Whether outputs are computed in scratch memory, with more that make them a multiple of 16."""
        return call.output.shape[3] % LANES != 0 and self._holds_shifts(call)

    def _is_open(self, call: Call) -> bool:
        """Whether masks are bounds."""
        return self._holds_shifts(call) and is_open(call)

    def _fields(self, call: Call, c, packed: np.ndarray, vectors: int) -> Dict:
        a = call.attributes
        return {
            **window_fields(call, a["weights"].shape[1:3]),
            "border": NO_BORDER if self.in_columns(call) else border_fields(call, a["weights"].shape[1:3]),
            "path": self.path(call),
            "by_taps": bool(self.by_taps(call)),
            "one_row": is_one_row(call),
            "check_bits": self.check_bits,
            "check_every": self.check_every,
            "at_a_time": self.at_a_time(call),
            "vectors": vectors,
            "run": self.run(call),
            "open": bool(vectors == 0 and self._is_open(call)),
            "weights": c.constant("weights", packed, f"{list(a['weights'].shape)}, laid out for {self.kernel}"),
            "min": a["clamp"][0],
            "max": a["clamp"][1],
            **left_fields(call, c),
            **pad_field(call),
        }


class Conv2dWide(Conv2dLanes):
    """A channel at a time, with sums of 40 bits.

    Weights that do not stay in the cache (64 kB, where other data are, too) are read in blocks of channels, each for
    all pixels: one pixel after the other would fetch all of them from flash again and again.
    """

    sums = 8
    BLOCK = 16 * 1024

    def fits_range(self, call, low, high):
        return self._takes(call)

    @staticmethod
    def of_addend(call):
        return 0 if call.addend is None else 10 * LANES

    @staticmethod
    def _start(call: Call) -> np.ndarray:
        return rounding_bias(call.attributes["bias"], call.attributes["shift"]).astype(np.int64)

    def instructions(self, call: Call) -> float:
        """Of sixteen channels of a pixel, counted in the assembly."""
        outputs, count, length = self.segmented(call).shape
        vectors = vectors_of(length)
        pieces = count * -(-length // (LANES * vectors))
        return LANES * (pieces * (vectors + 2) + 8 + pieces * (2 * vectors + 12) / outputs)

    def _counted(self, call):
        return self.instructions(call) + 20

    def body(self, call, c):
        segments = self.segmented(call)
        start, shift, block = self._start(call), np.maximum(call.attributes["shift"], 0), self.block(call)
        if block == 0:
            return self._fields(call, c, pack_wide(segments, start, shift), vectors_of(segments.shape[2]))
        some = [slice(first, first + block) for first in range(0, len(segments), block)]
        packed, block_bytes = side_by_side([pack_wide(segments[one], start[one], shift[one]) for one in some])
        fields = self._fields(call, c, packed, vectors_of(segments.shape[2]))
        return {**fields, "block": block, "block_bytes": block_bytes}

    def block(self, call: Call) -> int:
        """Channels of a block of weights; 0: they are one."""
        outputs, count, length = self._segments(call).shape
        vectors = vectors_of(length) * LANES
        size = count * -(-length // vectors) * vectors
        # An even number: their biases are of 8 bytes and end at a multiple of 16.
        return max(self.BLOCK // size // 2 * 2, 2) if size * outputs > self.LARGE else 0

    def weight_passes(self, call):
        return 1 if self.block(call) else super().weight_passes(call)

    def overlap_distance(self, call):
        # All is read again for every block.
        return None if self.block(call) else super().overlap_distance(call)
