"""Fully connected layers on the vector unit of the ESP32-S3: as convolutions of 1x1, or to int16, as
convolutions of 1x1 are, too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....program import Call
from ..portable import dense_as_conv2d
from ..variants import pixels_of
from .convolution import Conv2dLanes
from .convolution_s16 import Conv2dS16
from .lanes import (
    LANES,
    Esp32s3Variant,
    InAnotherForm,
    aligned,
    can_shift_left,
    left_fields,
    pack_rows,
    start_of,
)

# From so many rows on the weights in 16 bits, which are twice as many bytes, are read often enough to be worth it.
_MANY_ROWS = 8


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
    # Rows begin at multiples of 16 bytes where the inputs are a multiple of this.
    ROW_STEP = LANES

    def fits_range(self, call, low, high):
        outputs, inputs = call.attributes["weights"].shape
        return can_shift_left(call) and (inputs % self.ROW_STEP == 0 or call.output.elements == outputs)

    def weight_passes(self, call):
        return pixels_of(call)

    def start(self, call: Call) -> np.ndarray:
        """What the sums of all outputs start with."""
        return start_of(call)

    def emit(self, call, c, inputs, output):
        a = call.attributes
        packed = pack_rows(a["weights"], self.start(call), np.maximum(a["shift"], 0))
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
        scratch = ["scratch"] if self.scratch(call) else []
        c.call(self.kernel, inputs[0], parameters, *scratch, output)


class DenseS16Wide(DenseS16):
    """The same from int16: the upper bytes of the inputs first, then the lower ones less 128."""

    kernel = "esp_dl_dense_s16_wide_esp32s3"
    input_type = "int16"
    ROW_STEP = LANES // 2

    def scratch(self, call):
        return 2 * aligned(call.attributes["weights"].shape[1])

    def start(self, call):
        return start_of(call) + 128 * call.attributes["weights"].astype(np.int64).sum(axis=1)


class PointwiseS16(InAnotherForm):
    """A convolution of 1x1 from int8 to int16 with few pixels: they are the rows of a fully connected layer."""

    operator = "conv2d_s16"
    kernel = DenseS16.kernel
    output_type = "int16"
    _dense = DenseS16()

    def other(self, call):
        (outputs, _, _, inputs), pixels = call.attributes["weights"].shape, pixels_of(call)
        weights = call.attributes["weights"].reshape(outputs, inputs)
        x, y = replace(call.inputs[0], shape=(pixels, inputs)), replace(call.output, shape=(pixels, outputs))
        attributes = {**call.attributes, "weights": weights}
        return self._dense, replace(call, operator="dense_s16", inputs=[x], outputs=[y], attributes=attributes)

    def fits_range(self, call, low, high):
        a = call.attributes
        kernel = a["weights"].shape[1:3]
        if pixels_of(call) >= _MANY_ROWS and Conv2dS16().fits_range(call, low, high):
            return False
        plain = tuple(a["strides"]) == (1, 1) and not any(a["padding"]) and a["groups"] == 1
        whole = call.inputs[0].shape[:3] == call.output.shape[:3]
        return tuple(kernel) == (1, 1) and plain and whole and super().fits_range(call, low, high)

    def emit(self, call, c, inputs, output):
        variant, form = self.other(call)
        variant.emit(form, c, inputs, output)


class DenseS16Rows(InAnotherForm):
    """A fully connected layer with many rows, or from int16 to int8, as a convolution of 1x1."""

    operator = "dense_s16"
    kernel = Conv2dS16.kernel
    _convolution = Conv2dS16()

    def has_types(self, call):
        return self._convolution.has_types(call)

    def other(self, call):
        pixels = pixels_of(call)
        # What is widened or made one in scratch memory is a row.
        width = max(width for width in range(1, LANES + 1) if pixels % width == 0)
        return self._convolution, replace(dense_as_conv2d(call, 1, pixels // width, width), operator="conv2d_s16")

    def fits_range(self, call, low, high):
        many = pixels_of(call) >= _MANY_ROWS or call.output.dtype == "int8"
        return many and super().fits_range(call, low, high)

    def emit(self, call, c, inputs, output):
        variant, form = self.other(call)
        variant.emit(form, c, inputs, output)
