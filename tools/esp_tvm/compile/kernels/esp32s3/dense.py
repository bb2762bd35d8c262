"""Fully connected layers on the vector unit of the ESP32-S3: as convolutions of 1x1, or to int16."""

from __future__ import annotations

import numpy as np

from ..portable import dense_as_conv2d
from ..variants import pixels_of
from .convolution import Conv2dLanes
from .lanes import LANES, Esp32s3Variant, InAnotherForm, can_shift_left, left_fields, pack_rows, start_of


class Dense(InAnotherForm):
    """A fully connected layer by a kernel for convolutions."""

    operator = "dense"
    kernel = Conv2dLanes.kernel

    def __init__(self, convolution: Conv2dLanes):
        self.convolution = convolution

    def other(self, call):
        return self.convolution, dense_as_conv2d(call, pixels_of(call), 1, 1)


class DenseS16(Esp32s3Variant):
    """A fully connected layer from int8 to int16: an output after the other in the accumulator of 40 bits."""

    operator = "dense_s16"
    kernel = "esp_dl_dense_s16_esp32s3"
    output_type = "int16"

    def fits_range(self, call, low, high):
        outputs, inputs = call.attributes["weights"].shape
        return can_shift_left(call) and (inputs % LANES == 0 or call.output.elements == outputs)

    def weight_passes(self, call):
        return pixels_of(call)

    def emit(self, call, c, inputs, output):
        a = call.attributes
        packed = pack_rows(a["weights"], start_of(call), np.maximum(a["shift"], 0))
        parameters = c.struct(
            "esp_dl_dense_esp32s3_t",
            rows=pixels_of(call),
            inputs=a["weights"].shape[1],
            outputs=a["weights"].shape[0],
            weights=c.constant("weights", packed, f"{list(a['weights'].shape)}, laid out for {self.kernel}"),
            min=a["clamp"][0],
            max=a["clamp"][1],
            **left_fields(call, c, "left_outputs"),
        )
        c.call(self.kernel, inputs[0], parameters, output)
