"""Kernels for the vector unit of the ESP32-S3: when they may be taken, and their weights (esp_dl_esp32s3.h).

Lanes of 20 bits saturate at every step, so a sum is exact only if no partial sum leaves them for any input. Weights,
bias and range of the input are known here: it is proved channel by channel. Where it is not so, sums grow in
the accumulator of 40 bits, which holds all that int32 does, one channel at a time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from .aot import Lowered, Step, Value
from .kernel_call import KernelCall
from .operators import OPERATORS
from .operators.base import Operator, rounding_bias
from .operators.broadcasting import broadcast_steps, operand_shapes
from .operators.conv import window_fields
from .operators.moves import copy_fields, steps_of
from .operators.pooling import AveragePool2d, MaxPool2d
from .partition import Partitioned
from .variants import Variant, lead_of, window_starts

CHIP = "esp32s3"
MOVES = ("strided_slice", "tile", "broadcast", "depth_to_space", "space_to_depth", "concat", "pad")
BROADCASTING = ("add_broadcast", "sub_broadcast", "mul_broadcast", "maximum", "minimum")
LANES = 16
# Emulators hold -(2^19 - 1), the chip one more.
LANE_MAX = 2**19 - 1
# Where sums in the accumulator of 40 bits start: never negative (an emulator loads it without its sign), and the lower
# 32 bits are the sum.
SUM_START = 2**33
_MAX_SHIFTS = 7
# All shifts of 19 and more give the same of 20 bits.
_MAX_SHIFT = 19
# Of windows of 1x1 so many bytes are copied at once where the output overlaps the input.
RUN_BYTES = 1536
_VECTORS = (6, 4, 2)
# Weights are loaded two vectors ahead: nothing may be read that lies behind all constants.
_READ_AHEAD = np.zeros(2 * LANES, np.int8)


def aligned(count: int) -> int:
    """The next multiple of 16."""
    return (count + 15) // 16 * 16


def sums_fit_lanes(weights: np.ndarray, bias: np.ndarray, low: int, high: int) -> bool:
    """Whether no partial sum of bias + x * weights, in any order, leaves 20 bits for any x in low..high or 0.

    weights [O, K], bias [O] with the half that rounding adds
    """
    wide = weights.astype(np.int64)
    low, high = min(low, 0), max(high, 0)
    most = np.maximum(wide * low, wide * high).sum(axis=1) + np.maximum(bias, 0)
    least = np.minimum(wide * low, wide * high).sum(axis=1) + np.minimum(bias, 0)
    return bool(most.max() <= LANE_MAX and least.min() >= -LANE_MAX)


def fits_within(weights: np.ndarray, low: int, high: int, limit: int) -> bool:
    """Whether no partial sum of x * weights [O, K], in any order, leaves -limit..limit for any x in low..high or 0."""
    wide = weights.astype(np.int64)
    low, high = min(low, 0), max(high, 0)
    most = np.maximum(wide * low, wide * high).sum(axis=1).max()
    return bool(most <= limit and np.minimum(wide * low, wide * high).sum(axis=1).min() >= -limit)


def pack_20_bits(values: np.ndarray) -> np.ndarray:
    """Sixteen values as the lanes' registers are loaded: 40 bytes."""
    halves = []
    for half in (values[:8], values[8:]):
        bits = sum((int(value) & 0xFFFFF) << (20 * lane) for lane, value in enumerate(half))
        halves.append(np.frombuffer(bits.to_bytes(20, "little"), np.int8))
    return np.concatenate([halves[0][:16], halves[1][:16], halves[0][16:], halves[1][16:]])


def shift_steps(shift: np.ndarray) -> Tuple[np.ndarray, List[np.ndarray]]:
    """(how much to shift right, each step further than the one before; per step the channels that stop there)."""
    levels = np.unique(shift)
    return np.diff(levels, prepend=0), [shift == level for level in levels]


def most_shifts(shift: np.ndarray) -> int:
    """The most different shifts in sixteen channels."""
    return max(len(np.unique(shift[o : o + LANES])) for o in range(0, len(shift), LANES))


def tail_order(length: int) -> np.ndarray:
    """The order in which a segment's bytes meet their weights; `length` stands for the one that makes them even."""
    full, even = length // LANES * LANES, (length + 1) // 2 * 2
    return np.concatenate([np.arange(full), np.arange(even - 1, full - 1, -1)])


def pack_lanes(
    weights: np.ndarray, bias: np.ndarray, shift: np.ndarray, in_order: bool = False, least: bool = False
) -> np.ndarray:
    """Weights [O, segments, bytes], bias with what rounding adds, right shifts, for lanes of 20 bits.

    in_order: as they are, else in the order of `tail_order`; least: masks of this kind (esp_dl_esp32s3.h)
    """
    outputs, segments, length = weights.shape
    rows = aligned(outputs)
    shift = np.minimum(shift, _MAX_SHIFT)
    padded = np.zeros((rows, segments, length + 1), np.int8)
    padded[:outputs, :, :length] = weights
    padded = padded[:, :, np.arange(length) if in_order else tail_order(length)]
    # Channels that are not there are shifted like those beside them.
    bias = np.concatenate([bias, np.zeros(rows - outputs, np.int64)])
    shift = np.concatenate([shift, np.full(rows - outputs, shift[-1])])
    parts = []
    for o in range(0, rows, LANES):
        steps, stops = shift_steps(shift[o : o + LANES])
        steps = np.concatenate([steps, np.zeros(_MAX_SHIFTS - len(steps), steps.dtype), [len(steps)]])
        parts += [pack_20_bits(bias[o : o + LANES]), steps.astype(np.int8)]
        parts.append(padded[o : o + LANES].transpose(1, 2, 0).reshape(-1))
        if len(stops) > 1:
            own, other = (0, 127) if least else (-1, 0)
            parts += [np.where(stop, own, other).astype(np.int8) for stop in stops]
    return np.concatenate([*parts, _READ_AHEAD])


def vectors_of(length: int) -> int:
    """How many vectors of a segment of `length` bytes are best held in registers: the fewest instructions."""
    return min(_VECTORS, key=lambda held: -(-length // (LANES * held)) * (held + 2))


def pack_wide(weights: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Weights [O, segments, bytes], bias with what rounding adds, right shifts, for the accumulator of 40 bits."""
    outputs, segments, length = weights.shape
    chunk = vectors_of(length) * LANES
    chunks = -(-length // chunk)
    padded = np.zeros((outputs, segments, chunks * chunk), np.int8)
    padded[:, :, :length] = weights
    stream = padded.reshape(outputs, segments * chunks, chunk).transpose(1, 0, 2)
    start = np.asarray(bias, np.int64) + SUM_START
    # The weights start at a multiple of 16.
    start = np.concatenate([start, np.zeros(outputs % 2, np.int64)])
    return np.concatenate([start.view(np.int8), stream.reshape(-1), shift.astype(np.int8), _READ_AHEAD])


# --- borders: scratch memory as in src/common/borders_esp32s3.h --------------------------------------------------


def _spans(call: KernelCall, kernel: Sequence[int]) -> List[int]:
    """Rows and columns that all windows together reach over, borders included."""
    a, shape = call.attributes, call.output.shape
    return [(shape[1 + i] - 1) * a["strides"][i] + (kernel[i] - 1) * a["dilation"][i] + 1 for i in (0, 1)]


def copies_rows(call: KernelCall, kernel: Sequence[int]) -> bool:
    """Whether windows reach over the left or right border."""
    before = call.attributes["padding"][1]
    return before > 0 or _spans(call, kernel)[1] - before > call.inputs[0].shape[2]


def border_bytes(call: KernelCall, kernel: Sequence[int]) -> int:
    """Bytes of the row of zeros and of the copied rows, where they are needed."""
    a, shape = call.attributes, call.inputs[0].shape
    spans = _spans(call, kernel)
    left = a["padding"][1] * shape[3]
    row, size = aligned(aligned(left) - left + spans[1] * shape[3]), 0
    if a["padding"][0] > 0 or spans[0] - a["padding"][0] > shape[1]:
        size += row
    if copies_rows(call, kernel):
        size += row * ((kernel[0] - 1) * a["dilation"][0] + 1)
    return size


def lead_of_copies(call: KernelCall, kernel: Sequence[int]) -> int:
    """`Variant.lead` of a kernel that copies the rows of the image that a row of pixels needs before it computes it."""
    a, (images, height, width, channels) = call.attributes, call.inputs[0].shape
    _, rows, columns, outputs = call.output.shape
    first = np.arange(rows) * a["strides"][0] - a["padding"][0]
    ends = np.clip(first + (kernel[0] - 1) * a["dilation"][0] + 1, 0, height)
    copied = np.concatenate([[0], np.maximum.accumulate(ends)[:-1]])
    starts = np.maximum(copied, np.clip(first, 0, height)) * width * channels
    starts = (np.arange(images)[:, None] * height * width * channels + starts[None, :]).reshape(-1)
    return lead_of(starts, (np.arange(len(starts)) + 1) * columns * outputs, reads_own=False)


def lead_of_rows(call: KernelCall, kernel: Sequence[int]) -> int:
    """`Variant.lead` of a kernel that may read all that a row of pixels needs until the row is done."""
    width = call.output.shape[2]
    starts = window_starts(call, kernel).reshape(-1, width).min(axis=1)
    return lead_of(starts, (np.arange(len(starts)) + 1) * width * call.output.shape[3], reads_own=True)


def run_of(call: KernelCall) -> int:
    """Pixels of a window of 1x1 that are copied before sixteen channels after the other are computed."""
    return min(max(RUN_BYTES // call.inputs[0].shape[3], 1), int(np.prod(call.output.shape[:3])))


def lead_of_runs(call: KernelCall, starts: np.ndarray) -> int:
    """`Variant.lead` of a kernel that copies runs of pixels before it computes them."""
    # Runs go through all rows where pixels lie as in the input, else they begin anew with every row.
    same = call.inputs[0].shape[:3] == call.output.shape[:3] and tuple(call.attributes["strides"]) == (1, 1)
    width = len(starts) if same else call.output.shape[2]
    firsts = [row + column for row in range(0, len(starts), width) for column in range(0, width, run_of(call))]
    ends = np.array([*firsts[1:], len(starts)])
    first = np.array([starts[start:end].min() for start, end in zip(firsts, ends)])
    return lead_of(first, ends * call.output.shape[3], reads_own=False)


def start_of(call: KernelCall) -> np.ndarray:
    """What sums start with: the bias with what rounding adds."""
    return rounding_bias(call.attributes["bias"], call.attributes["shift"]).astype(np.int64)


def lanes_can_shift(shift: np.ndarray) -> bool:
    """Whether all shifts are to the right and few enough."""
    return bool(np.all(np.asarray(shift) >= 0)) and most_shifts(np.minimum(shift, _MAX_SHIFT)) <= _MAX_SHIFTS


def is_relu(call: KernelCall) -> bool:
    """Whether negative results become 0 and nothing else is cut off."""
    return tuple(call.attributes["clamp"]) == (0, 127)


class Esp32s3Variant(Variant):
    """A kernel for the vector unit. `fits` says whether it can compute the call for any input in low..high."""

    def fits_range(self, call: KernelCall, low: int, high: int) -> bool:
        """Whether it gives the plain kernel's bytes for inputs in low..high."""
        raise NotImplementedError

    def fits(self, call):
        return self.fits_range(call, -128, 127)

    def body(self, call: KernelCall, c) -> Dict:
        """The fields of the kernel's parameters; the weights are declared."""
        raise NotImplementedError

    def emit(self, call, choice, c, inputs, output):
        parameters = c.struct(f"{self.kernel.replace('_s8_', '_')}_t", **self.body(call, c))
        scratch = "scratch, " if self.scratch(call) else ""
        c.line(f"{self.kernel}({inputs[0]}, {parameters}, {scratch}{output});")


class Conv2dLanes(Esp32s3Variant):
    """Sixteen channels at a time, sums proved to fit 20 bits."""

    operator = "conv2d"
    kernel = "esp_dl_conv2d_s8_esp32s3"
    # Bytes for sums, per channel.
    sums = 0
    # Where sums are watched: they have to lie within 2^(7 + watched) between segments.
    watched = 0

    def by_taps(self, call: KernelCall) -> bool:
        """Whether segments are taps."""
        return call.attributes["dilation"][1] != 1

    def segmented(self, call: KernelCall) -> np.ndarray:
        """Weights [O, segments, bytes]: a segment is a row of the window, or a tap of a dilated one."""
        weights = call.attributes["weights"]
        outputs, height, width, channels = weights.shape
        if not self.by_taps(call):
            return weights.reshape(outputs, height, width * channels)
        return weights.reshape(outputs, height * width, channels)

    def _takes(self, call: KernelCall) -> bool:
        return call.attributes["groups"] == 1 and bool(np.all(np.asarray(call.attributes["shift"]) >= 0))

    def fits_range(self, call, low, high):
        if not self._takes(call) or not lanes_can_shift(call.attributes["shift"]):
            return False
        weights = call.attributes["weights"]
        return sums_fit_lanes(weights.reshape(len(weights), -1), start_of(call), low, high)

    def scratch(self, call):
        sums = aligned(self.sums * call.output.shape[3])
        kernel = call.attributes["weights"].shape[1:3]
        copied = 0
        if kernel == (1, 1) and self._holds_shifts(call):
            copied = aligned(run_of(call) * call.inputs[0].shape[3])
        return aligned(self.segmented(call).shape[1] * 8) + sums + copied + border_bytes(call, kernel)

    def lead(self, call):
        kernel = call.attributes["weights"].shape[1:3]
        if not copies_rows(call, kernel):
            starts = window_starts(call, kernel)
            if kernel == (1, 1) and self._holds_shifts(call):
                return lead_of_runs(call, starts)
            return lead_of(starts, (np.arange(len(starts)) + 1) * call.output.shape[3], reads_own=True)
        return lead_of_copies(call, kernel)

    def body(self, call, c):
        a = call.attributes
        shift = np.minimum(a["shift"], _MAX_SHIFT)
        packed = pack_lanes(self.segmented(call), start_of(call), shift, least=self._has_least_masks(call))
        return self._fields(call, c, packed, 0)

    def _holds_shifts(self, call: KernelCall) -> bool:
        """Whether sixteen channels of many pixels are computed after the other."""
        _, height, width, channels = call.attributes["weights"].shape
        if self.sums or self.watched or call.output.shape[3] % LANES:
            return False
        if (height, width) == (1, 1):
            return channels % LANES == 0 or channels == 8
        return channels % LANES == 0 and copies_rows(call, (height, width))

    def _has_least_masks(self, call: KernelCall) -> bool:
        return self._holds_shifts(call) and is_relu(call)

    def _fields(self, call: KernelCall, c, packed: np.ndarray, vectors: int) -> Dict:
        a = call.attributes
        return {
            **window_fields(call, a["weights"].shape[1:3]),
            "by_taps": bool(self.by_taps(call)),
            "watched": self.watched,
            "least": bool(vectors == 0 and self._has_least_masks(call)),
            "vectors": vectors,
            "weights": c.constant("weights", packed, f"{list(a['weights'].shape)}, laid out for {self.kernel}"),
            "min": a["clamp"][0],
            "max": a["clamp"][1],
        }


class Conv2dWatched(Conv2dLanes):
    """Sixteen channels at a time, where a segment's sum fits but that of all may not: watched while they grow."""

    def __init__(self, rows: bool, watched: int):
        self.rows, self.watched = rows, watched

    def by_taps(self, call):
        return not self.rows or super().by_taps(call)

    def fits_range(self, call, low, high):
        if not self._takes(call) or not lanes_can_shift(call.attributes["shift"]):
            return False
        if call.inputs[0].shape[3] % LANES or call.output.shape[3] % LANES:
            return False
        segments, bias = self.segmented(call), start_of(call)
        bound = 2 ** (7 + self.watched)
        if np.abs(bias).max() > bound or segments.shape[1] == 1:
            return False
        return all(fits_within(segments[:, i], low, high, LANE_MAX - bound) for i in range(segments.shape[1]))

    def scratch(self, call):
        return super().scratch(call) + 64

    def lead(self, call):
        kernel = call.attributes["weights"].shape[1:3]
        # A row may be computed again.
        return lead_of_copies(call, kernel) if copies_rows(call, kernel) else lead_of_rows(call, kernel)


class Conv2dWide(Conv2dLanes):
    """A channel at a time, with sums of 40 bits."""

    sums = 8

    def fits_range(self, call, low, high):
        return self._takes(call)

    def body(self, call, c):
        segments = self.segmented(call)
        packed = pack_wide(segments, start_of(call), np.asarray(call.attributes["shift"]))
        return self._fields(call, c, packed, vectors_of(segments.shape[2]))


class DepthwiseLanes(Esp32s3Variant):
    """Sixteen channels at a time, sums proved to fit 20 bits; one filter per channel."""

    operator = "depthwise_conv2d"
    kernel = "esp_dl_depthwise_conv2d_s8_esp32s3"

    def fits_range(self, call, low, high):
        a = call.attributes
        if call.inputs[0].shape[3] != call.output.shape[3] or not lanes_can_shift(a["shift"]):
            return False
        return sums_fit_lanes(a["weights"].reshape(-1, call.output.shape[3]).T, start_of(call), low, high)

    def scratch(self, call):
        kernel = call.attributes["weights"].shape[:2]
        return aligned(kernel[0] * 8) + border_bytes(call, kernel)

    def lead(self, call):
        kernel = call.attributes["weights"].shape[:2]
        if copies_rows(call, kernel):
            return lead_of_copies(call, kernel)
        # A row's channels are written sixteen after sixteen: later ones still read all of the row's window.
        return lead_of_rows(call, kernel)

    def body(self, call, c):
        a = call.attributes
        height, width, channels = a["weights"].shape
        shift = np.minimum(a["shift"], _MAX_SHIFT)
        # One segment, its bytes in their order: an even number of taps or the last one beside nothing.
        segments = a["weights"].reshape(-1, channels).T[:, None, :]
        least = (height, width) == (3, 3) and a["strides"][1] <= 2 and channels % LANES == 0 and is_relu(call)
        packed = pack_lanes(segments, start_of(call), shift, in_order=True, least=least)
        return {
            **window_fields(call, (height, width)),
            "least": bool(least),
            "weights": c.constant("weights", packed, f"{list(a['weights'].shape)}, laid out for {self.kernel}"),
            "min": a["clamp"][0],
            "max": a["clamp"][1],
        }


def as_convolution(call: KernelCall) -> KernelCall:
    """A fully connected layer as a convolution of 1x1 over its rows."""
    outputs, inputs = call.attributes["weights"].shape
    rows = call.output.elements // outputs
    attributes = {**call.attributes, "weights": call.attributes["weights"].reshape(outputs, 1, 1, inputs)}
    attributes.update(strides=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1)
    x = replace(call.inputs[0], shape=(rows, 1, 1, inputs))
    return replace(call, inputs=[x], output=replace(call.output, shape=(rows, 1, 1, outputs)), attributes=attributes)


class Dense(Esp32s3Variant):
    """A fully connected layer by a kernel for convolutions."""

    operator = "dense"
    kernel = Conv2dLanes.kernel

    def __init__(self, convolution: Conv2dLanes):
        self.convolution = convolution

    def fits_range(self, call, low, high):
        return self.convolution.fits_range(as_convolution(call), low, high)

    def scratch(self, call):
        return self.convolution.scratch(as_convolution(call))

    def body(self, call, c):
        return self.convolution.body(as_convolution(call), c)


class Pool(Esp32s3Variant):
    """Sixteen channels at a time."""

    # Bytes for sums.
    sums = 0

    def __init__(self, operator: Operator):
        self.plain = operator
        self.operator, self.kernel = operator.name, f"esp_dl_{operator.name}_s8_esp32s3"

    def fits_range(self, call, low, high):
        return True

    def scratch(self, call):
        kernel = call.attributes["kernel"]
        return aligned(kernel[0] * 8) + self.sums + border_bytes(call, kernel)

    def lead(self, call):
        kernel = call.attributes["kernel"]
        return lead_of_copies(call, kernel) if copies_rows(call, kernel) else lead_of_rows(call, kernel)

    def emit(self, call, choice, c, inputs, output):
        parameters = c.struct("esp_dl_pool2d_t", **self.plain.fields(call))
        c.line(f"{self.kernel}({inputs[0]}, {parameters}, scratch, {output});")


class Average(Pool):
    """Sums of whole windows in lanes of 20 bits, divided by a shift or by a product with the reciprocal."""

    sums = 64

    def fits_range(self, call, low, high):
        taps, shift = int(np.prod(call.attributes["kernel"])), call.attributes["shift"]
        factor, divisor = 2 ** max(-shift, 0), taps * 2 ** max(shift, 0)
        # Where sums are divided by a product they start so high that they are never negative.
        most = factor * taps * (128 + max(high, 0)) + 2 * divisor
        return factor <= 64 and divisor < 2**12 and most <= LANE_MAX


class Elementwise(Esp32s3Variant):
    """Sixteen values at a time, in lanes that always hold the sums."""

    plain_parameters = True

    def __init__(self, operator: str):
        self.operator, self.kernel = operator, f"esp_dl_{operator}_s8_esp32s3"

    def fits_range(self, call, low, high):
        a = call.attributes
        return max(a.get("shift_a", 0), a.get("shift_b", 0)) <= 6 and 0 <= a["shift"] <= 13


class Broadcasting(Elementwise):
    """The same where one operand is a single value, or a row of channels for all pixels."""

    def fits_range(self, call, low, high):
        a = call.attributes
        if self.operator in ("maximum", "minimum"):
            if (a["shift_a"], a["shift_b"], a["shift"]) != (0, 0, 0):
                return False
        elif not super().fits_range(call, low, high):
            return False
        shapes = operand_shapes(call)
        shape, steps = broadcast_steps(call.output.shape, shapes)
        if call.output.elements < LANES:
            return False
        if len(shape) == 1:
            return steps != [[0], [0]]
        return len(shape) == 2 and shape[1] % LANES == 0 and sorted(steps) == [[0, 1], [shape[1], 1]]


class LookupTable(Esp32s3Variant):
    """Sixteen values at a time by indexed loads, from a table of words."""

    operator = "lookup"
    kernel = "esp_dl_lookup_s8_esp32s3"

    def fits_range(self, call, low, high):
        return call.output.elements >= 4 * LANES

    def emit(self, call, choice, c, inputs, output):
        table = np.asarray(call.attributes["table"], np.int8)
        unsigned = np.concatenate([table[128:], table[:128]]).view(np.uint8)
        words = np.concatenate([[4, 0], unsigned]).astype(np.int32)
        name = c.constant("table", words, "4, 0, and f(x), indexed by x as an unsigned byte")
        c.line(f"{self.kernel}({inputs[0]}, {call.output.elements}, {name}, {output});")


def as_depthwise(call: KernelCall) -> KernelCall:
    """A scale and offset per channel as a depthwise convolution of 1x1."""
    a, channels = call.attributes, call.output.shape[-1]
    shape = (1, 1, call.output.elements // channels, channels)
    attributes = {"weights": a["multiplier"].reshape(1, 1, channels), "strides": (1, 1), "padding": (0, 0, 0, 0)}
    attributes.update(bias=a["bias"], shift=np.asarray(a["shift"]), clamp=a["clamp"], dilation=(1, 1))
    x, y = replace(call.inputs[0], shape=shape), replace(call.output, shape=shape)
    return replace(call, inputs=[x], output=y, attributes=attributes)


class Scale(Esp32s3Variant):
    """A scale and offset per channel, the last axis, by the kernel for depthwise convolutions."""

    operator = "channelwise"
    kernel = DepthwiseLanes.kernel
    convolution = DepthwiseLanes()

    def fits_range(self, call, low, high):
        last = call.attributes["axis"] == len(call.output.shape) - 1
        return last and self.convolution.fits_range(as_depthwise(call), low, high)

    def scratch(self, call):
        return self.convolution.scratch(as_depthwise(call))

    def body(self, call, c):
        return self.convolution.body(as_depthwise(call), c)


class Move(Esp32s3Variant):
    """Copies of blocks of sixteens of bytes to multiples of 16."""

    plain_parameters = True
    replaces = "esp_dl_copy"
    kernel = "esp_dl_copy_esp32s3"

    def __init__(self, operator: str):
        self.operator = operator

    def copies(self, call: KernelCall) -> List[dict]:
        """The parameters of the copies that the call consists of; none where it is more than that."""
        plain = OPERATORS[self.operator]
        if self.operator == "pad" and not plain.is_one_copy(call):
            return []
        return plain.copies(call)

    def fits_range(self, call, low, high):
        return any(
            not any(v % LANES for v in (copy["block"], copy["to_offset"], *copy["to"])) for copy in self.copies(call)
        )


class TransposeRows(Move):
    """The last axis stays: its values are copied together."""

    plain_parameters = False
    replaces = ""

    def copies(self, call):
        shape, axes = call.inputs[0].shape, call.attributes["axes"]
        if axes[-1] != len(shape) - 1:
            return []
        steps = steps_of(shape)
        shape = [shape[axis] for axis in axes]
        return [copy_fields(shape, [steps[axis] for axis in axes], steps_of(shape))]

    def emit(self, call, choice, c, inputs, output):
        parameters = c.struct("esp_dl_copy_t", **self.copies(call)[0])
        c.line(f"{self.kernel}({inputs[0]}, {parameters}, {output});")


# By operator, the fastest first.
VECTOR_VARIANTS: Dict[str, List[Esp32s3Variant]] = {
    "conv2d": [
        Conv2dLanes(),
        # Long segments are faster; sums that are far from the bound are rarely computed again.
        Conv2dWatched(rows=True, watched=11),
        Conv2dWatched(rows=True, watched=10),
        Conv2dWatched(rows=False, watched=11),
        Conv2dWide(),
    ],
    "depthwise_conv2d": [DepthwiseLanes()],
    "dense": [Dense(Conv2dLanes()), Dense(Conv2dWide())],
    "max_pool2d": [Pool(MaxPool2d())],
    "average_pool2d": [Average(AveragePool2d())],
    "lookup": [LookupTable()],
    "channelwise": [Scale()],
    **{operator: [Elementwise(operator)] for operator in ("add", "sub", "mul", "requantize")},
    **{operator: [Broadcasting(operator)] for operator in BROADCASTING},
    **{operator: [Move(operator)] for operator in MOVES},
    "transpose": [TransposeRows("transpose")],
}


def choose_vector(call: KernelCall, low: int, high: int) -> Optional[Esp32s3Variant]:
    """The fastest kernel of the vector unit that computes `call` for inputs in low..high; None where there is none."""
    if any(tensor.dtype != "int8" for tensor in [*call.inputs, call.output]):
        return None
    fitting = (v for v in VECTOR_VARIANTS.get(call.operator, ()) if v.fits_range(call, low, high))
    return next(fitting, None)


def lies_aligned(step: Step, lowered: Lowered, partitioned: Partitioned) -> bool:
    """Whether all inputs and results of `step` lie in the arena, at multiples of 16; a caller's buffers need not."""

    def in_arena(value: Value) -> bool:
        if value.kind != "value":
            return False
        maker = next((one for one in lowered.steps if value in one.results), None)
        call = partitioned.calls.get(maker.symbol) if maker is not None else None
        # A reshape of an input is that input's own buffer.
        return call is None or call.operator != "reshape" or in_arena(maker.arguments[0])

    return all(map(in_arena, [*step.arguments, *step.results]))


def check_alignment(choices, plan) -> None:
    """Every tensor of a kernel for the vector unit lies at a multiple of 16: what its loads and stores rely on."""
    for index, choice in choices.steps.items():
        if isinstance(choice.variant, Esp32s3Variant):
            for block in plan.blocks:
                assert block.offset % LANES == 0, f"step {index}: a block lies at {block.offset}"
