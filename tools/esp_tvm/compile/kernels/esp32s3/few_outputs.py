"""Convolutions with few outputs on the vector unit of the ESP32-S3: sixteen lanes would hold one or two."""

from __future__ import annotations

import numpy as np

from ....operators.conv import pad_field, window_fields
from .lanes import (
    LANES,
    Esp32s3Variant,
    aligned,
    border_bytes,
    border_fields,
    can_shift_left,
    copies_rows,
    distance_of_copies,
    distance_of_rows,
    left_fields,
    pack_rows,
    start_of,
)

# Of more the input is better held in registers, and multiplied by the weights of all.
_MOST_OUTPUTS = 2
# Instructions of an output beside 2 for each vector, of a segment; of sixteen channels in lanes beside 1 for each byte.
_OUTPUT, _SEGMENT, _LANES = 16, 7, 35


class Conv2dFew(Esp32s3Variant):
    """One output after the other of every pixel, in the accumulator of 40 bits.

    always: also where sixteen channels in lanes of 20 bits would be faster, where sums fit them
    """

    operator = "conv2d"
    kernel = "esp_dl_conv2d_s8_few_esp32s3"

    def __init__(self, always: bool):
        self.always = always

    def fits_range(self, call, low, high):
        a, (outputs, height, width, channels) = call.attributes, call.attributes["weights"].shape
        if call.addend is not None or a["groups"] != 1 or channels % LANES or outputs > _MOST_OUTPUTS:
            return False
        if not can_shift_left(call):
            return False
        window, segments = height * width * channels, height * self._per_row(call)
        one = 2 * window // LANES + _SEGMENT * segments + _OUTPUT
        return self.always or outputs * one < window + _LANES

    @staticmethod
    def _per_row(call) -> int:
        """Segments of a window's row."""
        return 1 if call.attributes["dilation"][1] == 1 else call.attributes["weights"].shape[2]

    def scratch(self, call):
        kernel = call.attributes["weights"].shape[1:3]
        return aligned(8 * kernel[0] * self._per_row(call)) + border_bytes(call, kernel)

    def overlap_distance(self, call):
        kernel = call.attributes["weights"].shape[1:3]
        return (distance_of_copies if copies_rows(call, kernel) else distance_of_rows)(call, kernel)

    def body(self, call, c):
        a = call.attributes
        kernel = a["weights"].shape[1:3]
        packed = pack_rows(a["weights"].reshape(len(a["weights"]), -1), start_of(call), np.maximum(a["shift"], 0))
        return {
            **window_fields(call, kernel),
            "border": border_fields(call, kernel),
            "weights": c.constant("weights", packed, f"{list(a['weights'].shape)}, laid out for {self.kernel}"),
            "min": a["clamp"][0],
            "max": a["clamp"][1],
            **left_fields(call, c),
            **pad_field(call),
        }
