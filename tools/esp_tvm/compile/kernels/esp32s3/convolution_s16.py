"""Convolutions from or to int16 on the vector unit of the ESP32-S3: eight channels in lanes of 40 bits."""

from __future__ import annotations

from typing import Dict, List, Tuple

import numpy as np

from ....operators.base import rounding_bias
from ....operators.conv import pad_field, pad_value, window_fields
from ....program import Call
from .lanes import (
    LANES,
    Esp32s3Variant,
    aligned,
    as_bytes,
    border_bytes,
    border_fields,
    copies_rows,
    distance_of_copies,
    distance_of_rows,
)

# Channels in the lanes, of 40 bits.
EIGHT = LANES // 2
_LANE_BITS = 40
# Weights are loaded two vectors ahead.
_READ_AHEAD = np.zeros(2 * LANES, np.int8)


def pack_40_bits(values: np.ndarray) -> np.ndarray:
    """Eight values as the lanes' registers are loaded: 40 bytes."""
    halves = []
    for half in (values[:4], values[4:]):
        bits = sum((int(value) % 2**_LANE_BITS) << (_LANE_BITS * lane) for lane, value in enumerate(half))
        halves.append(np.frombuffer(bits.to_bytes(20, "little"), np.int8))
    return np.concatenate([halves[0][:16], halves[1][:16], halves[0][16:], halves[1][16:]])


class Conv2dS16(Esp32s3Variant):
    """A convolution. Channels of a block have one shift, the largest: the weights of others are shifted left."""

    operator = "conv2d_s16"
    kernel = "esp_dl_conv2d_s16_esp32s3"
    parameters = "esp_dl_conv2d_s16_esp32s3_t"

    def has_types(self, call):
        return call.addend is None and {call.inputs[0].dtype, call.output.dtype} <= {"int8", "int16"}

    def fits_range(self, call, low, high):
        a = call.attributes
        if call.inputs[0].dtype == "int16" and pad_value(call) != 0:
            return False
        return self._takes(call) and all(map(_holds, *_blocks(self._filters(call), a["bias"], a["shift"])))

    def _takes(self, call: Call) -> bool:
        return call.attributes["groups"] == 1

    @staticmethod
    def _filters(call: Call) -> np.ndarray:
        """[O, segments, values of each]."""
        weights = call.attributes["weights"]
        segments = weights.shape[1] * (1 if call.attributes["dilation"][1] == 1 else weights.shape[2])
        return weights.reshape(len(weights), segments, -1)

    def _kernel(self, call: Call) -> List[int]:
        return list(call.attributes["weights"].shape[1:3])

    def _pack(self, filters: np.ndarray) -> np.ndarray:
        """Of eight channels [8, segments, values] in the order of the kernel."""
        filled = np.pad(filters, ((0, 0), (0, 0), (0, -filters.shape[2] % EIGHT)))
        return filled.transpose(1, 2, 0)

    def _is_three(self, call: Call) -> bool:
        """Whether windows have code of their own."""
        return False

    def _segments(self, call: Call) -> int:
        """Of a window's row, as they are listed."""
        return 1 if call.attributes["dilation"][1] == 1 else self._kernel(call)[1]

    def scratch(self, call):
        kernel, (_, _, width, outputs) = self._kernel(call), call.output.shape
        places = aligned(8 * kernel[0] * (1 + self._segments(call)))
        size = np.dtype(call.output.dtype).itemsize
        line = aligned(-(-outputs // EIGHT) * EIGHT * size) * width if outputs % EIGHT else 0
        return places + border_bytes(as_bytes(call), kernel) + self._wide_bytes(call) * kernel[0] + line

    def _wide_bytes(self, call: Call) -> int:
        """Of a row of the input that is widened."""
        if call.inputs[0].dtype == "int16":
            return 0
        a, kernel = call.attributes, self._kernel(call)
        columns = (call.output.shape[2] - 1) * a["strides"][1] + (kernel[1] - 1) * a["dilation"][1] + 1
        return 2 * aligned(columns * call.inputs[0].shape[3])

    def overlap_distance(self, call):
        form, kernel = as_bytes(call), self._kernel(call)
        # Eight channels of a row are written after the other: later ones still read what all of the row need.
        distance = distance_of_copies if copies_rows(form, kernel) else distance_of_rows
        return distance(form, kernel)

    def weight_passes(self, call):
        return int(np.prod(call.output.shape[:2]))

    def emit(self, call, c, inputs, output):
        a, kernel = call.attributes, self._kernel(call)
        parts = []
        for block, (filters, bias, shift) in enumerate(zip(*_blocks(self._filters(call), a["bias"], a["shift"]))):
            most, left = _lefts(shift)
            head = np.zeros(LANES - EIGHT, np.int8)
            head[0] = most
            factors, head[1] = self._factors(call, EIGHT * block, left)
            start = rounding_bias(bias, shift).astype(np.int64) << left
            weights = filters.astype(np.int64) << left[:, None, None]
            packed = self._pack(weights).astype(np.int16)
            parts += [pack_40_bits(start), head, factors, np.ascontiguousarray(packed).reshape(-1).view(np.int8)]
        data = np.concatenate([*parts, _READ_AHEAD])
        fields = dict(
            **window_fields(call, kernel),
            border=border_fields(as_bytes(call), kernel),
            input_s16=call.inputs[0].dtype == "int16",
            output_s16=call.output.dtype == "int16",
            three=self._is_three(call),
            weights=c.constant("weights", data, f"{list(a['weights'].shape)}, laid out for {self.kernel}"),
            min=a["clamp"][0],
            max=a["clamp"][1],
            **pad_field(call),
        )
        c.call(self.kernel, *inputs, self._parameters(call, c, fields), "scratch", output)

    def _parameters(self, call: Call, c, fields: Dict) -> str:
        return c.struct(self.parameters, **fields)

    def _factors(self, call: Call, first: int, left: np.ndarray) -> Tuple[np.ndarray, bool]:
        """(bytes of the factors of what is added to the sums of eight channels from `first` on, whether they are those
        of 256 times as much); none where nothing is added. left: by how much each sum is shifted to the left"""
        return np.zeros(0, np.int8), False


class Conv2dAddS16(Conv2dS16):
    """A convolution to whose sums a tensor of either width is added, times a power of two for each channel."""

    operator = "conv2d_add_s16"
    kernel = "esp_dl_conv2d_add_s16_esp32s3"

    def has_types(self, call):
        return call.addend is not None and {one.dtype for one in (*call.inputs, call.output)} <= {"int8", "int16"}

    def name(self, call):
        return self.kernel

    def fits_range(self, call, low, high):
        if call.inputs[0].shape[3] % EIGHT or call.output.shape[3] % EIGHT or not super().fits_range(call, low, high):
            return False
        lefts = [_lefts(call.attributes["shift"][o : o + EIGHT])[1] for o in range(0, call.output.shape[3], EIGHT)]
        return all(self._factor_bits(call, EIGHT * i, left)[0].max() < LANES - 1 for i, left in enumerate(lefts))

    @staticmethod
    def _factor_bits(call: Call, first: int, left: np.ndarray) -> Tuple[np.ndarray, bool]:
        """As `_factors`, their logarithms."""
        bits = np.asarray(call.attributes["addend_shift"][first : first + EIGHT], np.int64) + left
        upper = call.addend.dtype == "int8" and bits.min() >= 8
        return bits - 8 * upper, bool(upper)

    def _factors(self, call, first, left):
        bits, upper = self._factor_bits(call, first, left)
        return (1 << bits).astype(np.int16).view(np.int8), upper

    def _parameters(self, call, c, fields):
        return c.struct(f"{self.kernel}_t", conv2d=fields, addend_s16=call.addend.dtype == "int16")


class DepthwiseS16(Conv2dS16):
    """A depthwise convolution with one filter for each channel."""

    operator = "depthwise_conv2d_s16"
    kernel = "esp_dl_depthwise_conv2d_s16_esp32s3"

    def _takes(self, call):
        return call.inputs[0].shape[3] == call.output.shape[3]

    @staticmethod
    def _filters(call):
        weights = call.attributes["weights"]
        return weights.transpose(2, 0, 1)

    def _kernel(self, call):
        return list(call.attributes["weights"].shape[:2])

    def _pack(self, filters):
        return filters.transpose(1, 2, 0)

    def _is_three(self, call):
        return self._kernel(call) == [3, 3] and call.output.shape[3] % EIGHT == 0

    def _segments(self, call):
        return 1


def _blocks(filters: np.ndarray, bias: np.ndarray, shift: np.ndarray):
    """(weights, bias, shift) of eight channels after the other; channels that are not there have weights of 0."""
    missing = -len(filters) % EIGHT
    filters = np.pad(filters, ((0, missing), (0, 0), (0, 0)))
    bias = np.concatenate([np.asarray(bias, np.int64), np.zeros(missing, np.int64)])
    shift = np.concatenate([np.asarray(shift, np.int64), np.full(missing, shift[-1], np.int64)])
    return ([part[o : o + EIGHT] for o in range(0, len(bias), EIGHT)] for part in (filters, bias, shift))


def _lefts(shift: np.ndarray):
    """(the right shift of eight channels, by how much what each sums is shifted left)."""
    most = max(int(shift.max()), 0)
    return most, most - shift


def _holds(filters: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> bool:
    """Whether 16 bits hold the weights of eight channels, and 40 their sums."""
    left = _lefts(shift)[1]
    rows = filters.reshape(len(filters), -1).astype(np.float64) * 2.0 ** left[:, None]
    most = 32768 * np.abs(rows).sum(axis=1) + np.abs(rounding_bias(bias, shift)) * 2.0**left
    return bool(rows.min() >= -(2**15) and rows.max() < 2**15 and most.max() < 2 ** (_LANE_BITS - 1))
