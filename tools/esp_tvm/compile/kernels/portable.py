"""The faster kernels in C for every chip (esp_dl_fast.h): when they are taken, and their weights (packing.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Sequence

import numpy as np

from ...kernel_limits import KERNEL_LIMITS
from ...operators.base import rounding_bias
from ...operators.conv import pad_field, pad_value, window_fields
from ...operators.pooling import AveragePool2d
from ...program import Call
from .packing import (
    Packed,
    count_pieces_3x4,
    count_pieces_6x2,
    lanes_8x2,
    pack_3x4,
    pack_6x2,
    pack_8,
    pack_8x2,
    pack_depthwise_3x3,
)
from .variants import MOST_SHIFT, Variant, distance_of, pixels_of, shifts_right, window_starts
from .winograd import WINOGRAD


def _pixels_in(call: Call, rows: Sequence[int]) -> List[int]:
    """The pixels of strips of so many rows each."""
    return [call.output.shape[0] * call.output.shape[2] * int(one) for one in rows]


def _distance_by_tiles(call: Call, pixels: int, reads_own: bool) -> int:
    starts = window_starts(call, call.attributes["weights"].shape[1:3])
    count = -(-len(starts) // pixels)
    ends = np.minimum((np.arange(count) + 1) * pixels, len(starts)) * call.output.shape[3]
    first = np.array([starts[i * pixels : (i + 1) * pixels].min() for i in range(count)])
    return distance_of(first, ends, reads_own)


class Conv2d6x2(Variant):
    """Six pixels by two output channels."""

    operator = "conv2d"
    kernel = "esp_dl_conv2d_s8_6x2"
    PIXELS = KERNEL_LIMITS["6X2_PIXELS"]
    # As many pixels of a whole tile would take as long as the last 0 to 5.
    LAST = (0.0, 3.4, 3.8, 4.2, 4.4, 5.5)

    def fits(self, call):
        pixels = call.output.elements // call.output.shape[3]
        return call.attributes["groups"] == 1 and shifts_right(call) and pixels >= 2

    def scratch(self, call):
        return 12 * (int(np.prod(call.attributes["weights"].shape[1:])) + 1)

    def instructions_in_strips(self, call, rows):
        outputs, taps = call.output.shape[3], call.attributes["weights"][0].size
        pixels = sum(one // self.PIXELS * self.PIXELS + self.LAST[one % self.PIXELS] for one in _pixels_in(call, rows))
        return pixels * (taps * (1.63 * outputs + 6) + (27 if call.addend else 19) * outputs)

    def overlap_distance(self, call):
        return _distance_by_tiles(call, self.PIXELS, reads_own=False)

    def pack(self, call, low, high):
        return pack_6x2(self._filters(call), low, high, pad_value(call))

    def pieces(self, call):
        return count_pieces_6x2(self._filters(call), *call.input_range, pad_value(call))

    @staticmethod
    def _filters(call: Call) -> np.ndarray:
        """The weights [O, K] in the order in which values of a window lie."""
        weights = call.attributes["weights"]
        return weights.reshape(len(weights), -1)

    def fields(self, call):
        return {**window_fields(call, call.attributes["weights"].shape[1:3]), "groups": 1, **pad_field(call)}


class Conv2dApart(Conv2d6x2):
    """The same for six pixels that lie far apart in a row: input rows are laid out once for a whole row of output."""

    kernel = "esp_dl_conv2d_s8_6x2_apart"

    def fits(self, call):
        a, (_, height, width, outputs) = call.attributes, call.output.shape
        # Values that several windows have are laid out once.
        overlap = a["weights"].shape[2] > a["strides"][1] and a["dilation"][1] == 1
        if call.addend is not None or outputs % 2 or width < self.PIXELS or not overlap:
            return False
        return super().fits(call) and self.instructions_in_strips(call, [height]) < super().instructions_in_strips(
            call, [height]
        )

    def _tiles(self, call: Call) -> int:
        """Of a row of output: the last ones compute pixels again where these are no multiple of six."""
        width = call.output.shape[2]
        return width - (self.PIXELS - 1) * (width // self.PIXELS)

    def _laid_out(self, call: Call) -> int:
        """Values of a row of output's windows that are laid out, each of six pixels."""
        _, height, width, channels = call.attributes["weights"].shape
        return ((self._tiles(call) - 1) * call.attributes["strides"][1] + width) * height * channels

    def scratch(self, call):
        return 12 * (self._laid_out(call) + 1)

    def instructions_in_strips(self, call, rows):
        outputs, taps = call.output.shape[3], call.attributes["weights"][0].size
        row = self.PIXELS * self._tiles(call) * (1.63 * taps + 19) * outputs + 27 * self._laid_out(call)
        return call.output.shape[0] * sum(int(one) for one in rows) * row

    def overlap_distance(self, call):
        width, channels = call.output.shape[2:]
        # Rows of windows are laid out before a row is written.
        starts = window_starts(call, call.attributes["weights"].shape[1:3]).reshape(-1, width).min(axis=1)
        return distance_of(starts, (np.arange(len(starts)) + 1) * width * channels, reads_own=False)

    def weight_passes(self, call):
        return pixels_of(call) // call.output.shape[2] * self._tiles(call)

    @staticmethod
    def _filters(call):
        weights = call.attributes["weights"]
        return weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)


class Conv2d8x2(Variant):
    """Single pixels of eight input channels by two output channels, whose weights stay in registers."""

    operator = "conv2d"
    kernel = "esp_dl_conv2d_s8_8x2"
    INPUTS, PIXELS = KERNEL_LIMITS["8X2_INPUTS"], KERNEL_LIMITS["8X2_PIXELS"]

    def fits(self, call):
        a = call.attributes
        if a["groups"] != 1 or a["weights"].shape[1:] != (1, 1, self.INPUTS) or not shifts_right(call):
            return False
        if call.addend is not None or tuple(a["strides"]) != (1, 1) or any(a["padding"]) or call.output.shape[3] % 2:
            return False
        return self.instructions_in_strips(call, [call.output.shape[1]]) < Conv2d6x2().instructions_in_strips(
            call, [call.output.shape[1]]
        )

    def scratch(self, call):
        return self.PIXELS * self.INPUTS

    def instructions_in_strips(self, call, rows):
        outputs, pixels = call.output.shape[3], sum(_pixels_in(call, rows))
        passes = -(-pixels // self.PIXELS)
        return pixels * (22 * outputs + 9 * self.channels_alone(call)) + 25 * outputs * passes

    def overlap_distance(self, call):
        return _distance_by_tiles(call, self.PIXELS, reads_own=False)

    def _filters(self, call: Call) -> np.ndarray:
        return call.attributes["weights"].reshape(-1, self.INPUTS)

    def channels_alone(self, call):
        return int(2 * np.count_nonzero(~lanes_8x2(self._filters(call), *call.input_range)))

    def pack(self, call, low, high):
        return pack_8x2(self._filters(call), low, high)

    def fields(self, call):
        return {**window_fields(call, (1, 1)), "groups": 1, **pad_field(call)}


class Conv2d3x4(Variant):
    """Three pixels by four output channels, without scratch memory; weights take more than twice their size."""

    operator = "conv2d"
    kernel = "esp_dl_conv2d_s8_3x4"
    PIXELS, MAX_TAPS, MAX_CHANNELS = (KERNEL_LIMITS[f"3X4_{name}"] for name in ("PIXELS", "MAX_TAPS", "MAX_CHANNELS"))
    # Flash that the words may take.
    MAX_BYTES = 16 * 1024

    def fits(self, call):
        outputs, height, width, channels = call.attributes["weights"].shape
        if call.attributes["groups"] != 1 or not shifts_right(call) or outputs % 4 or channels % 4:
            return False
        if call.output.elements == outputs:  # one pixel: three times the work, twice the weights
            return False
        return height * width <= self.MAX_TAPS and channels <= self.MAX_CHANNELS and self._words(call) <= self.MAX_BYTES

    @staticmethod
    def _words(call: Call) -> int:
        return 2 * call.attributes["weights"].size

    def instructions_in_strips(self, call, rows):
        outputs, taps = call.output.shape[3], call.attributes["weights"][0].size
        pixels = sum(-(-one // self.PIXELS) * self.PIXELS for one in _pixels_in(call, rows))
        return pixels * outputs * (1.96 * taps + (31 if call.addend else 23))

    def overlap_distance(self, call):
        # The windows are read again for every four channels.
        return _distance_by_tiles(call, self.PIXELS, reads_own=True)

    def pack(self, call, low, high):
        weights = call.attributes["weights"]
        return pack_3x4(weights.reshape(len(weights), -1, weights.shape[3]), low, high, pad_value(call))

    def pieces(self, call):
        weights = call.attributes["weights"]
        taps = weights.reshape(len(weights), -1, weights.shape[3])
        return count_pieces_3x4(taps, *call.input_range, pad_value(call))

    def fields(self, call):
        return {**window_fields(call, call.attributes["weights"].shape[1:3]), "groups": 1, **pad_field(call)}


class Depthwise3x3(Variant):
    """3x3 windows, one filter per channel, row by row."""

    operator = "depthwise_conv2d"
    kernel = "esp_dl_depthwise_conv2d_s8_3x3"

    def fits(self, call):
        a = call.attributes
        if tuple(a["weights"].shape[:2]) != (3, 3) or tuple(a["dilation"]) != (1, 1):
            return False
        if call.inputs[0].shape[3] != call.output.shape[3] or a["strides"][1] > 2 or not self._holds_sums(a):
            return False
        # Of every window the middle row and column lie in the image, and more than one column.
        for axis in (0, 1):
            before, size, outputs = a["padding"][axis], call.inputs[0].shape[1 + axis], call.output.shape[1 + axis]
            if before > 1 or (outputs - 1) * a["strides"][axis] - before + 1 >= size:
                return False
        return call.inputs[0].shape[2] >= 2

    @staticmethod
    def _holds_sums(a: Dict[str, Any]) -> bool:
        """Whether sums that are shifted to the left still fit 32 bits: the kernel shifts weights and bias instead. It
        shifts to the right by less than 32 bits what it compares sums with."""
        if np.max(a["shift"]) > MOST_SHIFT:
            return False
        left = np.maximum(-np.asarray(a["shift"], np.int64), 0)
        magnitude = 128 * np.abs(a["weights"].astype(np.int64)).sum(axis=(0, 1)) + np.abs(a["bias"].astype(np.int64))
        return bool(np.all(magnitude << left < 2**31))

    def overlap_distance(self, call):
        width = call.output.shape[2]
        starts = window_starts(call, (3, 3)).reshape(-1, width).min(axis=1)
        ends = (np.arange(len(starts)) + 1) * width * call.output.shape[3]
        # A row's channels are written one after the other: later ones still read all of the row's window.
        return distance_of(starts, ends, reads_own=True)

    def overlap_distance_of_pixels(self, call):
        # Of one channel alone, a value is written after all that it is computed from was read.
        starts = window_starts(call, (3, 3))
        return distance_of(starts, (np.arange(len(starts)) + 1) * call.output.shape[3], reads_own=False)

    def channels_alone(self, call):
        shared = np.count_nonzero(self.pack(call, *call.input_range).shift)
        return call.output.shape[3] - (int(shared) if tuple(call.attributes["strides"]) == (1, 1) else 0)

    def pack(self, call, low, high):
        a, outside = call.attributes, pad_value(call)
        bias = rounding_bias(a["bias"], a["shift"]).astype(np.int64)
        low, high = min(low, outside, 0), max(high, outside, 0)
        return pack_depthwise_3x3(a["weights"], bias, a["shift"], low, high, a["clamp"][0])

    def fields(self, call):
        return {**window_fields(call, (3, 3)), **pad_field(call)}


class Depthwise1x4(Variant):
    """Windows of any size, one filter per channel: a pixel, four channels at a time."""

    operator = "depthwise_conv2d"
    kernel = "esp_dl_depthwise_conv2d_s8_1x4"

    def fits(self, call):
        return call.inputs[0].shape[3] == call.output.shape[3] and shifts_right(call)

    def overlap_distance(self, call):
        starts = window_starts(call, call.attributes["weights"].shape[:2])
        return distance_of(starts, (np.arange(len(starts)) + 1) * call.output.shape[3], reads_own=True)

    def pack(self, call, low, high):
        return Packed(call.attributes["weights"], np.zeros(call.output.shape[3], np.int64))

    def fields(self, call):
        return {**window_fields(call, call.attributes["weights"].shape[:2]), **pad_field(call)}


class Dense8(Variant):
    """Sixteen or eight outputs at a time; inputs of the most common value are skipped."""

    operator = "dense"
    kernel = "esp_dl_dense_s8_8"

    def fits(self, call):
        a = call.attributes
        # Inputs less the most common one are up to 255; their sums must not leave int32.
        largest = np.abs(a["weights"].astype(np.int64)).sum(axis=1) * 512 + np.abs(a["bias"].astype(np.int64))
        return len(a["weights"]) >= 4 and int(largest.max()) + 2**30 < 2**31

    def pack(self, call, low, high):
        weights = call.attributes["weights"]
        common = call.often
        stream = np.concatenate([np.array([common], np.int8), pack_8(weights)])
        return Packed(stream, common * weights.astype(np.int64).sum(axis=1))

    def fields(self, call):
        outputs, inputs = call.attributes["weights"].shape
        return {"rows": call.output.elements // outputs, "inputs": inputs, "outputs": outputs}


def dense_as_conv2d(call: Call, images: int, height: int, width: int) -> Call:
    """A dense layer as a convolution of 1x1; images, height, width: of the pixels that its rows are, one after the
    other."""
    outputs, inputs = call.attributes["weights"].shape
    attributes = {**call.attributes, "weights": call.attributes["weights"].reshape(outputs, 1, 1, inputs)}
    attributes.update(strides=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1)
    x = replace(call.inputs[0], shape=(images, height, width, inputs))
    y = replace(call.output, shape=(images, height, width, outputs))
    return replace(call, operator="conv2d", inputs=[x], outputs=[y], attributes=attributes)


class DenseAsConv2d(Variant):
    """Several rows as the pixels of a 1x1 convolution."""

    operator = "dense"
    kernel = Conv2d6x2.kernel
    takes = "conv2d"
    convolution = Conv2d6x2()

    @staticmethod
    def call(call: Call) -> Call:
        """The same as a convolution."""
        return dense_as_conv2d(call, 1, 1, pixels_of(call))

    def fits(self, call):
        rows, pixels = call.output.elements // len(call.attributes["weights"]), Conv2d6x2.PIXELS
        # Two instructions a multiply-accumulate, for the missing rows of the last six as well; else three.
        return -(-rows // pixels) * pixels * 2 <= rows * 3 and self.convolution.fits(self.call(call))

    def scratch(self, call):
        return self.convolution.scratch(self.call(call))

    def weight_passes(self, call):
        return self.convolution.weight_passes(self.call(call))

    def overlap_distance(self, call):
        return self.convolution.overlap_distance(self.call(call))

    def pieces(self, call):
        return self.convolution.pieces(self.call(call))

    def pack(self, call, low, high):
        return self.convolution.pack(self.call(call), low, high)

    def fields(self, call):
        return self.convolution.fields(self.call(call))


class GlobalAverage(Variant):
    """Whole planes, four channels at a time."""

    operator = "average_pool2d"
    kernel = "esp_dl_average_pool2d_s8_global"

    def fits(self, call):
        return AveragePool2d().is_global(call)

    def scratch(self, call):
        return AveragePool2d().scratch(call)

    def emit(self, call, c, inputs, output):
        if "row_sums" in call.attributes:
            AveragePool2d().emit(call, c, inputs, output)
            return
        parameters = c.struct("esp_dl_pool2d_t", **AveragePool2d().fields(call, c))
        c.call(self.kernel, inputs[0], parameters, output)


class QuantizeNhwc(Variant):
    """Quantization and the change of layout behind it in one, without a tensor between them. Only fused."""

    operator = "quantize"
    kernel = "esp_dl_quantize_s8_nhwc"

    def fits(self, call):
        return len(call.output.shape) == 4

    def emit(self, call, c, inputs, output):
        n, channels, h, w = call.output.shape
        shape = {"n": n, "h": h, "w": w, "c": channels}
        # A strip of an image (planning/strip_parts.py) goes through planes that have more rows.
        a = call.attributes
        plane, steps = a.get("plane", h * w), {name: a[name] for name in ("exponent", "zero_point")}
        parameters = c.struct("esp_dl_quantize_nhwc_t", output=shape, plane=plane, **steps)
        c.call(self.kernel, inputs[0], parameters, output)


_CONVOLUTIONS = [*WINOGRAD, Conv2dApart(), Conv2d8x2(), Conv2d6x2(), Conv2d3x4()]
# By operator, the fastest first.
VARIANTS: Dict[str, List[Variant]] = {
    "conv2d": _CONVOLUTIONS,
    "conv2d_add": _CONVOLUTIONS,
    "depthwise_conv2d": [Depthwise3x3(), Depthwise1x4()],
    "dense": [DenseAsConv2d(), Dense8()],
    "average_pool2d": [GlobalAverage()],
}
