"""One filter per channel, on the vector unit of the ESP32-S3: depthwise convolutions; scales and offsets as such."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List

import numpy as np

from ....operators.conv import pad_field, window_fields
from ....program import Call
from .lanes import (
    LANES,
    Esp32s3Variant,
    InAnotherForm,
    aligned,
    border_fields,
    bounds_of,
    can_shift_left,
    distance_of_copies,
    distance_of_rows,
    lanes_can_shift,
    left_fields,
    pack_lanes,
    right_shifts,
    start_of,
    sums_fit_lanes,
    with_border,
)

# Rows of pixels of 3x3 or 5x5 that are computed at once, as long as they need no more copied rows than that many bytes
# or that part of the input.
_AT_ONCE, _MORE_BYTES, _PART = 4, 1024, 1 / 64
# The taps of 3x3 as the kernel multiplies them, where the next window shares the middle one of its rows, or the first.
_MIDDLE_IS_SHARED = [7, 4, 1, 0, 2, 3, 6, 5, 8]
_FIRST_IS_SHARED = [6, 3, 0, 1, 2, 4, 7, 5, 8]


class DepthwiseLanes(Esp32s3Variant):
    """Sixteen channels at a time, sums proved to fit 20 bits; one filter per channel."""

    operator = "depthwise_conv2d"
    kernel = "esp_dl_depthwise_conv2d_s8_esp32s3"

    def fits_range(self, call, low, high):
        a = call.attributes
        if (
            call.inputs[0].shape[3] != call.output.shape[3]
            or not lanes_can_shift(a["shift"])
            or not can_shift_left(call)
        ):
            return False
        weights = a["weights"].reshape(-1, call.output.shape[3]).T
        return sums_fit_lanes(weights, start_of(call), *with_border(call, low, high))

    def scratch(self, call):
        kernel = call.attributes["weights"].shape[:2]
        more = (self.at_once(call) - 1) * call.attributes["strides"][0]
        span = (kernel[0] - 1) * call.attributes["dilation"][0] + 1 + more
        border, (_, _, width, channels) = self._border(call), call.output.shape
        borders = border["row_bytes"] * (border["outside"] + border["copied"] * span)
        line = (width + 1) * channels if self.in_pairs(call) and width % 2 else 0
        return aligned((kernel[0] + more) * 8) + borders + line

    def overlap_distance(self, call):
        kernel, at_once = call.attributes["weights"].shape[:2], self.at_once(call)
        if self._border(call)["copied"]:
            return distance_of_copies(call, kernel, at_once)
        # A row's channels are written sixteen after sixteen: later ones still read all of the row's window.
        return distance_of_rows(call, kernel, at_once)

    def path(self, call: Call) -> str:
        """How windows are computed: a value of esp_dl_depthwise_path_t."""
        height, width, channels = call.attributes["weights"].shape
        if self.in_pairs(call):
            return "ESP_DL_DEPTHWISE_THREE"
        if channels % LANES == 0 and (height, width) == (3, 3) and call.attributes["strides"][1] <= 2:
            return "ESP_DL_DEPTHWISE_THREE"
        if channels % LANES == 0 and (height, width) == (5, 5):
            return "ESP_DL_DEPTHWISE_FIVE"
        return "ESP_DL_DEPTHWISE_ANY"

    def at_once(self, call: Call) -> int:
        """Rows of pixels that are computed at a time: what is held in registers is loaded once for all of them."""
        a = call.attributes
        if self.path(call) == "ESP_DL_DEPTHWISE_ANY" or max(a["dilation"]) > 1:
            return 1
        if self.in_pairs(call) and call.output.shape[2] % 2:
            return 1
        more = a["strides"][0] * self._border(call)["row_bytes"]
        room = max(_MORE_BYTES, int(call.inputs[0].bytes * _PART))
        return min(_AT_ONCE, 1 + room // more, call.output.shape[1])

    def _order(self, call: Call) -> List[int]:
        """The order of the taps of 3x3."""
        a = call.attributes
        if self.in_pairs(call):
            return _FIRST_IS_SHARED
        return _MIDDLE_IS_SHARED if a["strides"][1] == 1 or a["dilation"][1] % 2 == 0 else _FIRST_IS_SHARED

    def in_pairs(self, call: Call) -> bool:
        """Whether two pixels are one of twice the channels, which are a multiple of 16 then."""
        a, (height, width, channels) = call.attributes, call.attributes["weights"].shape
        if (height, width) != (3, 3) or channels % LANES != LANES // 2 or (a["strides"][1], a["dilation"][1]) != (1, 1):
            return False
        return lanes_can_shift(np.tile(a["shift"], 2))

    def _border(self, call: Call) -> Dict:
        """The fields of esp_dl_border_t; of pairs, every row is there twice."""
        kernel = call.attributes["weights"].shape[:2]
        if not self.in_pairs(call):
            return border_fields(call, kernel)
        n, rows, columns, channels = call.output.shape
        even = replace(call.output, shape=(n, rows, columns + columns % 2, channels))
        border = border_fields(replace(call, outputs=[even]), kernel)
        return {"row_bytes": 2 * border["row_bytes"] + LANES, "outside": border["outside"], "copied": True}

    def body(self, call, c):
        a = call.attributes
        height, width, channels = a["weights"].shape
        shift = right_shifts(a["shift"])
        weights, start, pairs = a["weights"], start_of(call), self.in_pairs(call)
        if pairs:
            weights, start, shift = np.tile(weights, (1, 1, 2)), np.tile(start, 2), np.tile(shift, 2)
        # One segment, its bytes in their order: an even number of taps or the last one beside nothing.
        segments, path = weights.reshape(-1, weights.shape[2]).T[:, None, :], self.path(call)
        if path == "ESP_DL_DEPTHWISE_THREE":
            segments = segments[:, :, self._order(call)]
        masks = {} if path == "ESP_DL_DEPTHWISE_ANY" else {"masks": bounds_of(call)}
        packed = pack_lanes(segments, start, shift, in_order=True, **masks)
        return {
            **window_fields(call, (height, width)),
            "border": self._border(call),
            "path": path,
            "at_once": self.at_once(call),
            "pairs": bool(pairs),
            "weights": c.constant("weights", packed, f"{list(a['weights'].shape)}, laid out for {self.kernel}"),
            "min": a["clamp"][0],
            "max": a["clamp"][1],
            **left_fields(call, c),
            **pad_field(call),
        }


def as_depthwise(call: Call) -> Call:
    """A scale and offset per channel as a depthwise convolution of 1x1."""
    a, channels = call.attributes, call.output.shape[-1]
    shape = (1, 1, call.output.elements // channels, channels)
    attributes = {"weights": a["multiplier"].reshape(1, 1, channels), "strides": (1, 1), "padding": (0, 0, 0, 0)}
    attributes.update(bias=a["bias"], shift=np.asarray(a["shift"]), clamp=a["clamp"], dilation=(1, 1))
    x, y = replace(call.inputs[0], shape=shape), replace(call.output, shape=shape)
    return replace(call, inputs=[x], outputs=[y], attributes=attributes)


class Scale(InAnotherForm):
    """A scale and offset per channel, the last axis, by the kernel for depthwise convolutions."""

    operator = "channelwise"
    kernel = DepthwiseLanes.kernel
    convolution = DepthwiseLanes()

    def other(self, call):
        return self.convolution, as_depthwise(call)

    def fits_range(self, call, low, high):
        return call.attributes["axis"] == len(call.output.shape) - 1 and super().fits_range(call, low, high)
