"""Kernels for the ESP32-S3's vector unit for elementwise operators, pooling and moves."""

from __future__ import annotations

from math import gcd
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ....operators import OPERATORS
from ....operators.base import Operator
from ....operators.broadcasting import broadcast_steps, operand_names, operand_shapes, places
from ....operators.strides import copy_fields, steps_of
from ....program import Call
from .lanes import (
    LANE_MAX,
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

MOVES = ("strided_slice", "tile", "broadcast", "depth_to_space", "space_to_depth", "concat", "pad")
# Those that copy int8 alone.
_INT8_MOVES = ("pad", "resize_nearest")
BROADCASTING = ("add_broadcast", "sub_broadcast", "mul_broadcast", "maximum", "minimum")


class Pool(Esp32s3Variant):
    """Sixteen channels at a time."""

    # Bytes for sums.
    sums = 0

    def __init__(self, operator: Operator):
        self.plain = operator
        self.operator, self.kernel = operator.name, f"esp_dl_{operator.name}_s8_esp32s3"

    @staticmethod
    def form(call: Call) -> Call:
        """The call with a channel for each byte."""
        return call

    def fits_range(self, call, low, high):
        return True

    def scratch(self, call):
        kernel = call.attributes["kernel"]
        return aligned(kernel[0] * 8) + self.sums + border_bytes(self.form(call), kernel)

    def overlap_distance(self, call):
        form, kernel = self.form(call), call.attributes["kernel"]
        return distance_of_copies(form, kernel) if copies_rows(form, kernel) else distance_of_rows(form, kernel)

    def emit(self, call, c, inputs, output):
        form, kernel = self.form(call), call.attributes["kernel"]
        square = kernel[0] if kernel[0] == kernel[1] in (2, 3) and form.inputs[0].shape[3] % LANES == 0 else 0
        border = border_fields(form, kernel)
        fields = {"pool": self.plain.fields(call, c), "border": border, "square": square}
        parameters = c.struct("esp_dl_pool2d_esp32s3_t", **fields)
        c.call(self.kernel, inputs[0], parameters, "scratch", output)


class PoolS16(Pool):
    """Eight channels of int16 at a time."""

    input_type = output_type = "int16"
    form = staticmethod(as_bytes)

    def __init__(self, operator: Operator):
        super().__init__(operator)
        self.kernel = f"esp_dl_{operator.name}_esp32s3"


class Average(Pool):
    """Sums of whole windows in lanes of 20 bits, divided by a shift or by a product with the reciprocal."""

    sums = 64
    # Of sixteen channels between strips.
    LANE_BYTES = 48

    def scratch(self, call):
        if "row_sums" not in call.attributes:
            return super().scratch(call)
        return call.output.shape[3] // LANES * self.LANE_BYTES + self.sums

    def emit(self, call, c, inputs, output):
        if "row_sums" not in call.attributes:
            super().emit(call, c, inputs, output)
            return
        parameters = c.struct("esp_dl_average_rows_t", **self.plain.rows_fields(call, c))
        c.call("esp_dl_average_pool2d_s8_rows_esp32s3", inputs[0], parameters, "scratch", output)

    def fits_range(self, call, low, high):
        rows, shift = call.attributes.get("row_sums"), call.attributes["shift"]
        if rows is not None and call.output.shape[3] % LANES:
            return False
        taps = int(np.prod(call.attributes["kernel"])) if rows is None else rows.pixels
        factor, divisor = 2 ** max(-shift, 0), taps * 2 ** max(shift, 0)
        # Sums that are divided by a product start with an offset so that they are never negative.
        most = factor * taps * (128 + max(high, 0)) + 2 * divisor
        return factor <= 64 and divisor < 2**12 and most <= LANE_MAX


class AverageGlobal(Esp32s3Variant):
    """The average of whole images: sums in lanes of 20 bits, divided one after the other."""

    operator = "average_pool2d"
    replaces = "esp_dl_average_pool2d_s8"
    kernel = "esp_dl_average_pool2d_s8_global_esp32s3"
    plain_parameters = True

    def fits_range(self, call, low, high):
        pixels, shift = int(np.prod(call.attributes["kernel"])), call.attributes["shift"]
        if "row_sums" in call.attributes or not OPERATORS[self.operator].is_global(call):
            return False
        if call.output.shape[3] % LANES or pixels * 128 > LANE_MAX or not -10 <= shift <= 0:
            return False
        return pixels * (2 ** (9 - shift) + 1) < 2**32


class AverageS16(AverageGlobal):
    """The same to int16."""

    operator = "average_pool2d_s16"
    replaces = "esp_dl_average_pool2d_s16"
    kernel = "esp_dl_average_pool2d_s16_esp32s3"
    output_type = "int16"


class AverageWide(AverageS16):
    """The same from int16 to int16 or int8, eight channels in lanes of 40 bits."""

    kernel = "esp_dl_average_pool2d_s16_wide_esp32s3"
    input_type = "int16"

    def has_types(self, call):
        return call.inputs[0].dtype == self.input_type

    def fits_range(self, call, low, high):
        is_whole = "row_sums" not in call.attributes and OPERATORS["average_pool2d"].is_global(call)
        return is_whole and call.output.shape[3] % (LANES // 2) == 0


def small_shifts(call: Call) -> bool:
    """Whether lanes hold the sums, and products of bytes the half that is added to them."""
    a = call.attributes
    return max(a.get("shift_a", 0), a.get("shift_b", 0)) <= 6 and 0 <= a["shift"] <= 13


class Elementwise(Esp32s3Variant):
    """Sixteen values at a time, in lanes that are always wide enough for the sums."""

    plain_parameters = True

    def __init__(self, operator: str):
        self.operator, self.kernel = operator, f"esp_dl_{operator}_s8_esp32s3"

    def fits_range(self, call, low, high):
        # A shift to the left is a factor.
        return small_shifts(call) or (self.operator == "requantize" and -6 <= call.attributes["shift"] < 0)


class ElementwiseS16(Esp32s3Variant):
    """From or to int16: the same in lanes of 40 bits. An int8 result is the upper byte of one that has 16 bits."""

    plain_parameters = True
    # Bits of a factor, and of the half that rounding adds to a sum.
    FACTOR_BITS = 14

    def __init__(self, operator: str):
        self.operator, self.replaces = operator, f"esp_dl_{operator}"
        self.kernel = f"esp_dl_{operator}_esp32s3"

    def has_types(self, call):
        return call.output.dtype in ("int8", "int16")

    def fits_range(self, call, low, high):
        a, narrow = call.attributes, call.output.dtype == "int8"
        if self.operator == "mul_s16":
            return (8 if narrow else 0) <= a["shift"] <= 2 * self.FACTOR_BITS + 1
        left = max(a.get("shift_a", 0), a.get("shift_b", 0), -a["shift"])
        left += max(8 - max(a["shift"], 0), 0) if narrow else 0
        least = -self.FACTOR_BITS if self.operator == "requantize_s16" else 0
        return least <= a["shift"] <= self.FACTOR_BITS + 1 and left <= self.FACTOR_BITS


class Broadcasting(Esp32s3Variant):
    """The same if one operand is a single value, or a row of channels for all pixels."""

    # Bytes of such rows, one behind the other, that vectors are made of where the channels are no multiple of 16.
    MOST_SCRATCH = 1024

    def __init__(self, operator: str):
        self.operator, self.kernel = operator, f"esp_dl_{operator}_s8_esp32s3"

    @staticmethod
    def shapes(call: Call) -> List[Tuple[int, ...]]:
        """Of both operands."""
        return operand_shapes(call)

    def shifts_fit(self, call: Call) -> bool:
        """Whether the kernel takes the shifts."""
        a = call.attributes
        if self.operator in ("maximum", "minimum"):
            return (a["shift_a"], a["shift_b"], a["shift"]) == (0, 0, 0)
        return small_shifts(call)

    def fits_range(self, call, low, high):
        if not self.shifts_fit(call) or call.output.elements < LANES:
            return False
        shape, steps = broadcast_steps(call.output.shape, self.shapes(call))
        if len(shape) == 1:
            return steps != [[0], [0]]
        return len(shape) == 2 and sorted(steps) == [[0, 1], [shape[1], 1]] and self.scratch(call) <= self.MOST_SCRATCH

    def scratch(self, call):
        shape, _ = broadcast_steps(call.output.shape, self.shapes(call))
        if len(shape) == 1 or shape[1] % LANES == 0:
            return 0
        return shape[1] * min(LANES // gcd(shape[1], LANES), shape[0])

    def emit(self, call, c, inputs, output):
        clamp = call.attributes["clamp"]
        parameters = c.struct("esp_dl_broadcast_t", **places(call, c, inputs), min=clamp[0], max=clamp[1])
        self.call(call, c, [*operand_names(call, c, inputs), parameters], output)

    def call(self, call: Call, c, arguments: Sequence[str], output: str) -> None:
        """Write the call of the kernel."""
        c.call(self.kernel, *arguments, "scratch" if self.scratch(call) else "NULL", output)


class PReluVectors(Broadcasting):
    """Sixteen values at a time, what is positive of them and what is negative by itself."""

    def __init__(self):
        super().__init__("prelu")

    @staticmethod
    def shapes(call):
        return [call.inputs[0].shape, call.attributes["slope"].shape]

    def shifts_fit(self, call):
        return -6 <= call.attributes["shift"] <= 7 and 0 <= call.attributes["shift_negative"] <= 13

    def emit(self, call, c, inputs, output):
        self.call(call, c, OPERATORS[self.operator].arguments(call, c, inputs), output)


class LookupTable(Esp32s3Variant):
    """Sixteen values at a time by indexed loads, from a table of words."""

    operator = "lookup"
    kernel = "esp_dl_lookup_s8_esp32s3"

    def fits_range(self, call, low, high):
        return call.output.elements >= 4 * LANES

    def emit(self, call, c, inputs, output):
        table = np.asarray(call.attributes["table"], np.int8)
        unsigned = np.concatenate([table[128:], table[:128]]).view(np.uint8)
        words = np.concatenate([[4, 0], unsigned]).astype(np.int32)
        name = c.constant("table", words, "4, 0, and f(x), indexed by x as an unsigned byte")
        c.call(self.kernel, inputs[0], call.output.elements, name, output)


class Move(Esp32s3Variant):
    """Copies of blocks whose lengths and offsets are multiples of 16 bytes."""

    plain_parameters = True
    replaces = "esp_dl_copy"
    kernel = "esp_dl_copy_esp32s3"

    def __init__(self, operator: str):
        self.operator = operator

    def has_types(self, call):
        types = {tensor.dtype for tensor in (*call.inputs, call.output)}
        return types == {"int8"} or (types == {"int16"} and self.operator not in _INT8_MOVES)

    def copies(self, call: Call) -> List[dict]:
        """The parameters of the copies that the call consists of; none if it is not only copies."""
        plain = OPERATORS[self.operator]
        if self.operator == "pad" and not plain.is_one_copy(call):
            return []
        return plain.copies(call)

    def fits_range(self, call, low, high):
        return any(copy["vectors"] for copy in self.copies(call))


class RepeatPixels(Move):
    """A resize by whole numbers: every pixel is copied several times."""

    plain_parameters = False
    replaces = ""

    def copies(self, call):
        (n, height, width, channels), (_, rows, columns, _) = call.inputs[0].shape, call.output.shape
        more = rows // height, columns // width
        for size, times, name in zip((height, width), more, ("rows", "columns")):
            if not np.array_equal(call.attributes[name], np.repeat(np.arange(size), times)):
                return []
        source = (height * width * channels, width * channels, 0, 0, channels, 1)
        target = (rows * columns * channels, more[0] * columns * channels, columns * channels, channels)
        shape = (n, height, *more, width, channels)
        return [copy_fields(shape, source, (*target, more[1] * channels, 1))]

    def emit(self, call, c, inputs, output):
        c.call(self.kernel, inputs[0], c.struct("esp_dl_copy_t", **self.copies(call)[0]), output)


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
        size = np.dtype(call.output.dtype).itemsize
        return [copy_fields(shape, [steps[axis] for axis in axes], steps_of(shape), size=size)]

    def emit(self, call, c, inputs, output):
        parameters = c.struct("esp_dl_copy_t", **self.copies(call)[0])
        c.call(self.kernel, inputs[0], parameters, output)


class TransposeTiles(Esp32s3Variant):
    """Rows and columns of matrices are exchanged, 16x16 values at a time."""

    operator = "transpose"
    kernel = "esp_dl_transpose_s8_esp32s3"

    @staticmethod
    def matrices(call: Call) -> Optional[Tuple[int, int, int]]:
        """(how many, rows, columns) of the input's matrices; None where axes change their places otherwise."""
        shape = call.inputs[0].shape
        axes = [axis for axis in call.attributes["axes"] if shape[axis] != 1]
        places = {axis: place for place, axis in enumerate(sorted(axes))}
        # Axes that stay side by side are one.
        ends = [i for i in range(1, len(axes)) if places[axes[i]] != places[axes[i - 1]] + 1]
        groups = [axes[start:end] for start, end in zip([0, *ends], [*ends, len(axes)])]
        sizes = [int(np.prod([shape[axis] for axis in group])) for group in groups]
        if len(groups) == 2:
            return 1, sizes[1], sizes[0]
        if len(groups) == 3 and groups[0] < groups[2] < groups[1]:
            return sizes[0], sizes[2], sizes[1]
        return None

    def fits_range(self, call, low, high):
        found = self.matrices(call)
        return found is not None and min(found[1:]) >= LANES and found[1] % 4 == 0

    def scratch(self, call):
        return 3 * LANES * LANES

    def body(self, call, c):
        return dict(zip(("count", "rows", "columns"), self.matrices(call)))
