"""What a call does, in the terms that instructions are counted by: the bench fits them, the estimate adds them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict

import numpy as np

from ..chips import aligned
from ..kernel_limits import KERNEL_LIMITS
from ..program import Call

LANES = KERNEL_LIMITS["LANES"]
# Of kernels that take six pixels at a time: as how many pixels the last 0 to 5 count. Two or three pairs of pixels are
# computed together, and share the loads of weights: two pairs take 12 instructions for two weights, three take 17.
LAST_OF_SIX = tuple(6 * (12 if pixels <= 4 else 17) / 17 if pixels else 0.0 for pixels in range(6))


def in_sixes(pixels: int) -> float:
    """As many pixels as would take as long if they were a multiple of six."""
    return pixels // 6 * 6 + LAST_OF_SIX[pixels % 6]


@dataclass(frozen=True)
class Work:
    """values: of the output; channels: its last axis; macs: multiply-accumulates

    in_channels: of the first input; rows: of the window, 1 for a call without one; taps: of a pooling window
    pieces: that weights are cut into so that sums fit their lanes (`Variant.pieces`)
    alone: channels whose sums share no words (`Variant.channels_alone`)
    width: of the output, 1 for one that is no image; stride: of a window along a row
    """

    values: int
    channels: int
    macs: int
    in_channels: int
    rows: int = 1
    taps: int = 1
    pieces: int = 0
    alone: int = 0
    width: int = 1
    stride: int = 1

    def terms(self) -> Dict[str, float]:
        """What instructions may be proportional to.

        macs, values, calls: as they stand; pixels: values divided by channels; pooled: values of all pooling windows
        windows: values of the input in all windows
        macs6, windows6: the same with the time of the last pixels (`in_sixes`); macs3: for pixels rounded up to a
            multiple of 3, as a kernel tiles them; pieces6, pieces3: pieces of weights, for each tile of so many pixels
        alone: values of channels whose sums share no words
        lines: rows of the output, each channel's; strided: values of windows with a stride along a row
        groups: of up to sixteen channels of a pixel; vectors: multiply-accumulates of sixteen channels
        ragged: rows of windows that need not begin and end at multiples of 16; ragged_windows: the values in them
        part_groups: groups where the channels are no multiple of 16
        """
        channels = max(self.channels, 1)
        pixels, window = self.values // channels, self.macs / self.values if self.values else 0.0
        groups = pixels * aligned(channels, LANES) // LANES
        ragged = self.in_channels % LANES != 0
        return {
            "macs": self.macs,
            "values": self.values,
            "calls": 1.0,
            "pixels": pixels,
            "pooled": self.values * self.taps,
            "windows": pixels * window,
            "macs6": in_sixes(pixels) * channels * window,
            "windows6": in_sixes(pixels) * window,
            "macs3": aligned(pixels, 3) * channels * window,
            "pieces6": in_sixes(pixels) / 6 * self.pieces,
            "pieces3": aligned(pixels, 3) // 3 * self.pieces,
            "alone": pixels * self.alone,
            "lines": self.values // self.width,
            "strided": self.values if self.stride > 1 else 0,
            "groups": groups,
            "vectors": groups * window,
            "ragged": pixels * self.rows if ragged else 0,
            "ragged_windows": pixels * window if ragged and self.rows > 1 else 0.0,
            "part_groups": groups if channels % LANES else 0,
        }


def work_of(call: Call) -> Work:
    """The work of a call with a kernel; followers count by their multiply-accumulates."""
    output, first = call.writes[0], call.inputs[0]
    channels = output.shape[-1] if output.shape else 1
    rows = taps = stride = 1
    if call.kind in ("conv2d", "depthwise_conv2d"):
        rows = call.attributes["weights"].shape[1 if call.kind == "conv2d" else 0]
        stride = int(call.attributes["strides"][1])
    elif call.kind in ("max_pool2d", "average_pool2d"):
        taps = int(np.prod(call.attributes["kernel"]))
    in_channels = first.shape[-1] if first.shape else 1
    values = int(np.prod(output.shape, dtype=np.int64))
    pieces, alone = (0, 0) if call.variant is None else (call.variant.pieces(call), call.variant.channels_alone(call))
    width = int(output.shape[2]) if len(output.shape) == 4 else 1
    return Work(values, int(channels), call.macs, int(in_channels), int(rows), taps, pieces, alone, width, stride)
