"""Convolutions with eight outputs on the ESP32-S3: two pixels side by side are one of sixteen channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....program import Call
from .convolution import Conv2dLanes
from .lanes import LANES, InAnotherForm, aligned, copies_rows

_OUTPUTS = LANES // 2


def as_pairs(call: Call) -> Call:
    """The convolution of sixteen outputs that computes two pixels of eight: the window reaches over both of theirs.

    Where pixels do not share input, and lie in it as in the output, a pair of the input is one of twice the channels.
    """
    a, (n, height, width, channels), y = call.attributes, call.inputs[0].shape, call.output.shape
    _, kernel_h, kernel_w, _ = a["weights"].shape
    stride_h, stride_w = a["strides"]
    weights = np.zeros((LANES, kernel_h, kernel_w + stride_w, channels), np.int8)
    weights[:_OUTPUTS, :, :kernel_w] = weights[_OUTPUTS:, :, stride_w:] = a["weights"]
    strides, shape = (stride_h, 2 * stride_w), (n, height, width, channels)
    if kernel_w == stride_w == 1 and width == y[2] and not copies_rows(call, (kernel_h, kernel_w)):
        weights, shape = weights.reshape(LANES, kernel_h, 1, 2 * channels), (n, height, width // 2, 2 * channels)
        strides = (stride_h, 1)
    attributes = {**a, "weights": weights, "strides": strides}
    attributes.update({name: np.tile(a[name], 2) for name in ("bias", "shift", "addend_shift") if name in a})
    x, pairs = replace(call.inputs[0], shape=shape), (*y[:2], y[2] // 2, LANES)
    addend = [replace(one, shape=pairs) for one in call.inputs[1:]]
    return replace(call, inputs=[x, *addend], outputs=[replace(call.output, shape=pairs)], attributes=attributes)


class Conv2dPairs(InAnotherForm):
    """Sums proved to fit 20 bits, as those of the convolution that it becomes."""

    operator = "conv2d"
    kernel = Conv2dLanes.kernel
    convolution = Conv2dLanes()

    def other(self, call):
        return self.convolution, as_pairs(call)

    def fits_range(self, call, low, high):
        a, outputs = call.attributes, call.output.shape[3]
        if outputs != _OUTPUTS or call.output.shape[2] % 2 or a["dilation"][1] != 1 or a["groups"] != 1:
            return False
        pairs = as_pairs(call)
        return self.convolution.fits_range(pairs, low, high) and self._is_faster(call, pairs)

    def _is_faster(self, call: Call, pairs: Call) -> bool:
        """By estimates of the instructions of two pixels, counted in the assembly."""
        _, kernel_h, kernel_w, channels = call.attributes["weights"].shape
        alone = 2 * (kernel_h * (9 + aligned(kernel_w * channels)) + 60)
        if self.convolution.gathers(pairs) or self.convolution.has_three_rows(pairs):
            return True
        length = pairs.attributes["weights"].shape[2] * pairs.inputs[0].shape[3]
        return kernel_h * (9 + aligned(length)) + 60 < alone

    def overlap_distance(self, call):
        return self.convolution.overlap_distance(as_pairs(call))
