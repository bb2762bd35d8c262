"""What kernels for the ESP32-S3's vector unit have in common: proofs, layouts of weights, scratch memory for borders.

Lanes of 20 bits saturate at every step, so a sum is exact only if no partial sum leaves them for any input. Weights,
bias and range of the input are known here: it is proved channel by channel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ....kernel_limits import KERNEL_LIMITS
from ....operators.base import rounding_bias
from ....operators.conv import pad_value
from ....program import Call, Tensor
from ..variants import Variant, distance_of, window_starts

LANES = KERNEL_LIMITS["LANES"]
LANE_MAX = KERNEL_LIMITS["LANE_MAX"]
# Where sums in the accumulator of 40 bits start: never negative (an emulator loads it without its sign), and the lower
# 32 bits are the sum.
SUM_START = 2**33
MOST_SHIFTS = KERNEL_LIMITS["LANE_SHIFTS"]
# All shifts of 19 and more give the same of 20 bits.
MAX_SHIFT = 19
# By how much lanes are shifted to the right between the two parts of a sum that does not fit them at once.
PART_SHIFT = 4
# Of windows of 1x1 so many bytes are copied at once where the output overlaps the input.
RUN_BYTES = 1536
# Windows that are put together take so many bytes at once, or one of them takes more.
GATHER_BYTES = 1024
_VECTORS = (6, 4, 2)
# Weights are loaded two vectors ahead: nothing may be read that lies behind all constants.
_READ_AHEAD = np.zeros(2 * LANES, np.int8)


def aligned(count: int) -> int:
    """The next multiple of 16."""
    return (count + 15) // 16 * 16


def sums_fit_lanes(
    weights: np.ndarray, bias: np.ndarray, low: int, high: int, addend: Union[int, np.ndarray] = 0
) -> bool:
    """Whether no partial sum of bias + x * weights, in any order, leaves 20 bits for any x in low..high or 0.

    weights [O, K], bias [O] with the half that rounding adds; addend [O]: the magnitude of what is added besides
    """
    least, most = _extremes(weights, low, high)
    most, least = most + np.maximum(bias, 0) + addend, least + np.minimum(bias, 0) - addend
    return bool(most.max() <= LANE_MAX and least.min() >= -LANE_MAX)


def fits_within(weights: np.ndarray, low: int, high: int, limit: int) -> bool:
    """Whether no partial sum of x * weights [O, K], in any order, leaves -limit..limit for any x in low..high or 0."""
    least, most = _extremes(weights, low, high)
    return bool(most.max() <= limit and least.min() >= -limit)


def _extremes(weights: np.ndarray, low: int, high: int) -> Tuple[np.ndarray, np.ndarray]:
    """[O]: the smallest and the largest sum of x * weights [O, K] for x in low..high or 0."""
    low, high = min(low, 0), max(high, 0)
    above, below = (part(weights, 0).sum(axis=1, dtype=np.int64) for part in (np.maximum, np.minimum))
    return above * low + below * high, above * high + below * low


def sums_stay_within(weights: np.ndarray, bias: np.ndarray, shift: np.ndarray, low: int, high: int, bound: int) -> bool:
    """Whether sums of usual data stay within -bound..bound.

    They do where all do that the output's exponent, which calibration chose, can hold. And where the mean of the inputs
    is at a quarter of low..high, their deviation a quarter of it, each by itself: to three deviations of the sum.

    weights [O, K], bias [O], shift [O] to the right
    """
    wide = weights.astype(np.float64)
    mean = np.abs(wide.sum(axis=1) * (low + high) / 4 + bias)
    deviation = np.sqrt((wide**2).sum(axis=1)) * (high - low) / 4
    held = 128 * 2.0 ** np.asarray(shift)
    return bool(np.minimum(mean + 3 * deviation, held).max() <= bound)


def parts_fit_lanes(
    weights: np.ndarray, bias: np.ndarray, low: int, high: int, addend: Union[int, np.ndarray] = 0
) -> bool:
    """Whether no partial sum leaves 20 bits where x & 15 is multiplied first, then, after a shift to the right by 4,
    x >> 4, for any x in low..high or 0.

    weights [O, K], bias [O] with the half that rounding adds; addend [O]: the magnitude of what is added before
    """
    bias = np.asarray(bias, np.int64)
    least, most = _extremes(weights, 0, 2**PART_SHIFT - 1)
    most, least = most + np.maximum(bias, 0) + addend, least + np.minimum(bias, 0) - addend
    if most.max() > LANE_MAX or least.min() < -LANE_MAX:
        return False
    low, high = min(low, 0) >> PART_SHIFT, max(high, 0) >> PART_SHIFT
    return all(sums_fit_lanes(weights, start >> PART_SHIFT, low, high) for start in (most, least))


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
    groups = np.sort(np.pad(shift, (0, -len(shift) % LANES), mode="edge").reshape(-1, LANES))
    return int(np.count_nonzero(np.diff(groups), axis=1).max()) + 1


def tail_order(length: int) -> np.ndarray:
    """The order in which a segment's bytes meet their weights; `length` stands for the one that makes them even."""
    full, even = length // LANES * LANES, (length + 1) // 2 * 2
    return np.concatenate([np.arange(full), np.arange(even - 1, full - 1, -1)])


def pack_head(bias: np.ndarray, shift: np.ndarray) -> Tuple[np.ndarray, List[np.ndarray]]:
    """(bias and shifts of sixteen channels, 48 bytes; per step the channels that stop there)."""
    steps, stops = shift_steps(shift)
    steps = np.concatenate([steps, np.zeros(MOST_SHIFTS - len(steps), steps.dtype), [len(steps)]])
    return np.concatenate([pack_20_bits(bias), steps.astype(np.int8)]), stops


# Masks: what they hold for the channels that have a shift, and for others; if not bits, a bound of the result.
_BITS = (-1, 0)


def bounds_of(call: Call) -> Tuple[int, int]:
    """Masks that are bounds: the result is the least of all shifts' values, each not below its mask."""
    return call.attributes["clamp"][0], 127


def pack_lanes(
    weights: np.ndarray,
    bias: np.ndarray,
    shift: np.ndarray,
    in_order: bool = False,
    masks: Tuple[int, int] = _BITS,
    factors: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Weights [O, segments, bytes], bias with what rounding adds, right shifts, for lanes of 20 bits.

    in_order: as they are, else in the order of `tail_order`; masks: what they hold for the channels that have a shift,
    and for others (esp_dl_esp32s3.h); factors: int8 [O, vectors] of an addend, see `addend_factors`
    """
    outputs, segments, length = weights.shape
    rows = aligned(outputs)
    shift = np.minimum(shift, MAX_SHIFT)
    padded = np.zeros((rows, segments, length + 1), np.int8)
    padded[:outputs, :, :length] = weights
    padded = padded[:, :, np.arange(length) if in_order else tail_order(length)]
    # Channels that are not there are shifted like those beside them.
    bias = np.concatenate([bias, np.zeros(rows - outputs, np.int64)])
    shift = np.concatenate([shift, np.full(rows - outputs, shift[-1])])
    parts = []
    for o in range(0, rows, LANES):
        head, stops = pack_head(bias[o : o + LANES], shift[o : o + LANES])
        parts.append(head)
        if factors is not None:
            own = np.zeros((LANES, factors.shape[1]), np.int8)
            own[: outputs - o] = factors[o : o + LANES]
            parts.append(own.T.reshape(-1))
        parts.append(padded[o : o + LANES].transpose(1, 2, 0).reshape(-1))
        if len(stops) > 1:
            parts += [np.where(stop, *masks).astype(np.int8) for stop in stops]
    return np.concatenate([*parts, _READ_AHEAD])


def vectors_of(length: int) -> int:
    """How many vectors of a segment of `length` bytes are best held in registers: the fewest instructions."""
    return min(_VECTORS, key=lambda held: -(-length // (LANES * held)) * (held + 2))


def pack_rows(weights: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Weights [O, I], bias with what rounding adds, right shifts, an output after the other."""
    outputs, inputs = weights.shape
    rows = np.zeros((outputs, LANES + aligned(inputs)), np.int8)
    rows[:, :8] = (np.asarray(bias, np.int64) + SUM_START).reshape(-1, 1).view(np.int8)
    rows[:, 8] = shift
    rows[:, LANES : LANES + inputs] = weights
    return np.concatenate([rows.reshape(-1), _READ_AHEAD])


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


def side_by_side(blocks: Sequence[np.ndarray]) -> Tuple[np.ndarray, int]:
    """(blocks of weights one behind the other, how many bytes from one to the next)."""
    size = aligned(max(len(block) for block in blocks))
    return np.concatenate([np.pad(block, (0, size - len(block))) for block in blocks]), size


def as_bytes(call: Call) -> Call:
    """The same with a channel for each byte of the input and of the output."""
    x, y = (
        Tensor(tensor.name, (*tensor.shape[:3], tensor.shape[3] * np.dtype(tensor.dtype).itemsize), "int8")
        for tensor in (call.inputs[0], call.output)
    )
    return replace(call, inputs=[x], outputs=[y])


# --- borders, which src/common/borders_esp32s3.h lays out --------------------------------------------------


def _spans(call: Call, kernel: Sequence[int]) -> List[int]:
    """Rows and columns that all windows together reach over, borders included."""
    a, shape = call.attributes, call.output.shape
    return [(shape[1 + i] - 1) * a["strides"][i] + (kernel[i] - 1) * a["dilation"][i] + 1 for i in (0, 1)]


def copies_rows(call: Call, kernel: Sequence[int]) -> bool:
    """Whether windows reach over the left or right border."""
    before = call.attributes["padding"][1]
    return before > 0 or _spans(call, kernel)[1] - before > call.inputs[0].shape[2]


# The fields of esp_dl_border_t where nothing is copied.
NO_BORDER = {"row_bytes": 0, "outside": False, "copied": False}


def border_fields(call: Call, kernel: Sequence[int]) -> Dict:
    """The fields of esp_dl_border_t."""
    a, shape = call.attributes, call.inputs[0].shape
    spans, left = _spans(call, kernel), a["padding"][1] * shape[3]
    return {
        "row_bytes": aligned(aligned(left) - left + spans[1] * shape[3]),
        "outside": bool(a["padding"][0] > 0 or spans[0] - a["padding"][0] > shape[1]),
        "copied": bool(copies_rows(call, kernel)),
    }


def with_border(call: Call, low: int, high: int) -> Tuple[int, int]:
    """The range of an input in low..high together with what lies outside of its image."""
    value = pad_value(call)
    return min(low, value), max(high, value)


def border_bytes(call: Call, kernel: Sequence[int], more_rows: int = 0) -> int:
    """Bytes of the row of what lies outside and of the copied rows, where they are needed; more_rows: beyond a
    window's."""
    border = border_fields(call, kernel)
    span = (kernel[0] - 1) * call.attributes["dilation"][0] + 1 + more_rows
    return border["row_bytes"] * (border["outside"] + border["copied"] * span)


def is_one_row(call: Call) -> bool:
    """Whether the pixels of a convolution's output follow each other, as those of its input, in all rows and images."""
    a, (images, height, width, _) = call.attributes, call.inputs[0].shape
    kernel = a["weights"].shape[1:3]
    border = border_fields(call, kernel)
    if (*kernel, *a["strides"]) != (1, 1, 1, 1) or border["outside"] or border["copied"]:
        return False
    return call.output.shape[2] == width and (images == 1 or call.output.shape[1] == height)


def distance_of_copies(call: Call, kernel: Sequence[int], at_once: int = 1) -> int:
    """`Variant.overlap_distance` of a kernel that copies what `at_once` rows of pixels need before it computes them."""
    a, (images, height, width, channels) = call.attributes, call.inputs[0].shape
    _, rows, columns, outputs = call.output.shape
    first = np.arange(rows) * a["strides"][0] - a["padding"][0]
    ends = np.clip(first + (kernel[0] - 1) * a["dilation"][0] + 1, 0, height)
    copied = np.concatenate([[0], np.maximum.accumulate(ends)[:-1]])
    starts = np.maximum(copied, np.clip(first, 0, height))[::at_once] * width * channels
    starts = (np.arange(images)[:, None] * height * width * channels + starts[None, :]).reshape(-1)
    return distance_of(starts, _rows_written(call, at_once) * columns * outputs, reads_own=False)


def distance_of_rows(call: Call, kernel: Sequence[int], at_once: int = 1) -> int:
    """`Variant.overlap_distance` of a kernel that may read what `at_once` rows of pixels need until they are done."""
    _, rows, width, channels = call.output.shape
    starts = window_starts(call, kernel).reshape(-1, rows, width).min(axis=2)[:, ::at_once].reshape(-1)
    return distance_of(starts, _rows_written(call, at_once) * width * channels, reads_own=True)


def _rows_written(call: Call, at_once: int) -> np.ndarray:
    """How many rows of the output are there after each `at_once` rows of an image, or what is left of it."""
    images, rows = call.output.shape[:2]
    ends = np.minimum(np.arange(0, rows, at_once) + at_once, rows)
    return (np.arange(images)[:, None] * rows + ends[None, :]).reshape(-1)


def run_of(call: Call) -> int:
    """Pixels of a window of 1x1 that are copied before sixteen channels after the other are computed."""
    return min(max(RUN_BYTES // call.inputs[0].shape[3], 1), int(np.prod(call.output.shape[:3])))


def distance_of_runs(call: Call, starts: np.ndarray, run: int) -> int:
    """`Variant.overlap_distance` of a kernel that reads runs of pixels before it writes their outputs."""
    # Runs go through all rows where pixels lie as in the input, else they begin anew with every row.
    same = call.inputs[0].shape[:3] == call.output.shape[:3] and tuple(call.attributes["strides"]) == (1, 1)
    width = len(starts) if same else call.output.shape[2]
    firsts = [row + column for row in range(0, len(starts), width) for column in range(0, width, run)]
    ends = np.array([*firsts[1:], len(starts)])
    first = np.array([starts[start:end].min() for start, end in zip(firsts, ends)])
    return distance_of(first, ends * call.output.shape[3], reads_own=False)


def start_of(call: Call) -> np.ndarray:
    """What sums in lanes start with: the bias with what rounding adds, less what the factors of an addend add."""
    start = rounding_bias(call.attributes["bias"], call.attributes["shift"]).astype(np.int64)
    return start if call.addend is None else start - _addend_steps(call)


def _addend_steps(call: Call) -> np.ndarray:
    """[O]: what a step of the addend is in a sum."""
    return np.left_shift(np.int64(1), np.asarray(call.attributes["addend_shift"], np.int64))


def addend_of(call: Call) -> Union[int, np.ndarray]:
    """[O]: the magnitude of what is added to sums in lanes besides products; 0 if nothing is."""
    return 0 if call.addend is None else 128 * _addend_steps(call)


def addend_factors(call: Call) -> Optional[np.ndarray]:
    """int8 [O, vectors]: by what the inverted addend, ~x = -x - 1, is multiplied again and again; None without one.

    Those of a channel add up to -2^addend_shift: 2^addend_shift, which the bias is less, comes along.
    """
    if call.addend is None:
        return None
    left = _addend_steps(call)[:, None] - 128 * np.arange(addend_vectors(call))
    return (-np.clip(left, 0, 128)).astype(np.int8)


def addend_vectors(call: Call) -> int:
    """How many factors of an addend the channel with most of them has; 0 without one."""
    return 0 if call.addend is None else int(-(-_addend_steps(call).max() // 128))


def lanes_can_shift(shift: np.ndarray) -> bool:
    """Whether shifts to the right are few enough."""
    return most_shifts(right_shifts(shift)) <= MOST_SHIFTS


def right_shifts(shift: np.ndarray) -> np.ndarray:
    """What lanes are shifted by; where it is to the left, by 0."""
    return np.clip(shift, 0, MAX_SHIFT)


def can_shift_left(call: Call) -> bool:
    """Whether results that are shifted left, if there are some, may be clamped before."""
    low, high = call.attributes["clamp"]
    return low <= 0 <= high or bool(np.min(call.attributes["shift"]) >= 0)


def left_fields(call: Call, c, name: str = "left_channels") -> Dict:
    """The fields of the channels whose results are shifted left; name: of their number."""
    left = np.maximum(-np.asarray(call.attributes["shift"]), 0).astype(np.int8)
    if not left.any():
        return {name: 0, "left": "NULL"}
    count = int(np.flatnonzero(left)[-1]) + 1
    return {name: count, "left": c.constant("left", left[:count], "left shift per output channel")}


def is_open(call: Call) -> bool:
    """Whether nothing is cut off above but what int8 cannot hold."""
    return call.attributes["clamp"][1] == 127


class Esp32s3Variant(Variant):
    """A kernel for the vector unit. `fits` says whether it can compute the call for any input in low..high.

    input_type, output_type: of its inputs, of its output
    """

    input_type = "int8"
    output_type = "int8"

    def has_types(self, call: Call) -> bool:
        """Whether the tensors of a call are what it takes and gives."""
        return {tensor.dtype for tensor in call.inputs} == {self.input_type} and call.output.dtype == self.output_type

    def fits_range(self, call: Call, low: int, high: int) -> bool:
        """Whether it gives the plain kernel's bytes for inputs in low..high."""
        raise NotImplementedError

    def fits(self, call):
        return self.fits_range(call, -128, 127)

    def body(self, call: Call, c) -> Dict:
        """The fields of the kernel's parameters; the weights are declared."""
        raise NotImplementedError

    def emit(self, call, c, inputs, output):
        parameters = c.struct(f"{self.kernel.replace('_s8_', '_')}_t", **self.body(call, c))
        scratch = ["scratch"] if self.scratch(call) else []
        c.call(self.kernel, inputs[0], parameters, *scratch, output)


class InAnotherForm(Esp32s3Variant):
    """What another variant computes, where a call is written in another form: other shapes of the same bytes.

    Only `overlap_distance` is not the other's: outputs overlap no input unless a subclass says so.
    """

    def other(self, call: Call) -> Tuple[Esp32s3Variant, Call]:
        """(the variant, the call in the form that it computes)."""
        raise NotImplementedError

    def fits_range(self, call, low, high):
        variant, form = self.other(call)
        return variant.fits_range(form, low, high)

    def scratch(self, call):
        variant, form = self.other(call)
        return variant.scratch(form)

    def slowest(self, call):
        variant, form = self.other(call)
        return variant.slowest(form)

    def weight_passes(self, call):
        variant, form = self.other(call)
        return variant.weight_passes(form)

    def input_passes(self, call):
        variant, form = self.other(call)
        return variant.input_passes(form)

    def counted(self, call):
        variant, form = self.other(call)
        return variant.counted(form)

    def emit(self, call, c, inputs, output):
        if call.addend is None:
            super().emit(call, c, inputs, output)
            return
        variant, form = self.other(call)
        variant.emit(form, c, inputs, output)

    def keeps_addend(self, call):
        variant, form = self.other(call)
        return variant.keeps_addend(form)

    def body(self, call, c):
        variant, form = self.other(call)
        return variant.body(form, c)
