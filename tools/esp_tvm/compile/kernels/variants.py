"""Which kernel computes a call: the plain one, or a faster one with its own layout of the weights.

The faster kernels give the same bytes. Here is what they need from the exporter: weights in their order, what their
arithmetic adds to the bias, scratch memory, and how far the output may lie before the input. Those in C for every chip
are in portable.py and winograd.py, those for units of a chip in mac16.py and esp32s3/.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np

from ...kernel_limits import KERNEL_LIMITS
from ...operators.base import rounding_bias
from ...operators.conv import addend_field
from ...program import Call
from .packing import Packed

# --- how far an output may lie before its input --------------------------------------------------------------


def window_starts(call: Call, kernel: Sequence[int]) -> np.ndarray:
    """Offset in bytes of the first input value that each output pixel reads, in the order of pixels."""
    a = call.attributes
    images, height, width, channels = call.inputs[0].shape
    rows = np.arange(call.output.shape[1]) * a["strides"][0] - a["padding"][0]
    columns = np.arange(call.output.shape[2]) * a["strides"][1] - a["padding"][1]
    starts = np.clip(rows, 0, height)[:, None] * width + np.clip(columns, 0, width)[None, :]
    starts = np.arange(images)[:, None] * height * width + starts.reshape(1, -1)
    return starts.reshape(-1).astype(np.int64) * channels


def distance_of(starts: np.ndarray, written: np.ndarray, reads_own: bool) -> int:
    """By how many bytes an output has to start before its input so that no byte is written that is still to be read.

    Pieces are computed one after the other: piece i reads from starts[i] on and writes up to written[i]. reads_own: it
    reads while it writes; otherwise it has read all it needs before it writes.
    """
    later = np.minimum.accumulate(starts[::-1])[::-1]
    if not reads_own:
        written, later = written[:-1], later[1:]
    return max(int((written - later).max()), 0) if len(written) else 0


def pixels_of(call: Call) -> int:
    """Pixels of the output, or rows of a dense layer's."""
    return call.output.elements // call.output.shape[-1]


# --- what faster kernels can compute ---------------------------------------------------------------------------

# The least value of the output, shifted to the left by as many bits as sums are to the right, fits 32 bits.
MOST_SHIFT = KERNEL_LIMITS["COMPARED_SHIFT"]


def shifts_right(call: Call) -> bool:
    """Whether kernels that compare sums before they shift them can compute a call."""
    shift = np.asarray(call.attributes["shift"])
    return bool(np.all((shift >= 0) & (shift <= MOST_SHIFT)))


# --- a kernel ------------------------------------------------------------------------------------------------


class Variant:
    """A faster kernel for calls of one operator.

    kernel: its C function; of what computes `conv2d_add` too, that with an addend has _add before the width
    plain_parameters: it is called like the plain kernel, `replaces` if that has no name of its own, with the same
    parameters
    with_nhwc: the kernel that also computes a change to NHWC behind it
    for_spare_memory: it needs so much scratch memory that it is taken last, where there is room: memory is planned
    with the others
    takes: the operator whose parameters its kernel takes, where that is another one
    """

    operator = ""
    kernel = ""
    # Of the output that are computed together, where all weights serve them before the next ones.
    PIXELS = 0
    takes = ""
    plain_parameters = False
    replaces = ""
    with_nhwc: Optional[Variant] = None
    for_spare_memory = False

    def fits(self, call: Call) -> bool:
        """Whether it can compute this call, and faster than the plain kernel."""
        raise NotImplementedError

    def fits_strips(self, call: Call, parts: Sequence[Call], rows: Sequence[int]) -> bool:
        """The same for a call in strips of so many rows. parts: calls that compute a strip, one of each kind"""
        return all(map(self.fits, parts))

    def scratch(self, call: Call) -> int:
        """Bytes of scratch memory, aligned to 4."""
        return 0

    def scratch_in_strips(self, call: Call, rows: int) -> int:
        """The same for a call in strips of at most so many rows of its output."""
        return self.scratch(call)

    def slowest(self, call: Call) -> float:
        """By which factor the data that take longest take longer than those that take least, at most, where it computes
        some values again."""
        return 1.0

    def overlap_distance(self, call: Call) -> Optional[int]:
        """Bytes by which the output has to start before the input where they overlap; None: they must not."""
        return None

    def keeps_addend(self, call: Call) -> bool:
        """Whether what a convolution adds to its sums may still be read when its output was written."""
        return False

    def overlap_distance_of_pixels(self, call: Call) -> Optional[int]:
        """The same where they overlap by whole pixels: for kernels that compute channel after channel."""
        return None

    def weight_passes(self, call: Call) -> int:
        """How often it goes through all of its weights."""
        return -(-pixels_of(call) // self.PIXELS) if self.PIXELS else 1

    def input_passes(self, call: Call) -> Tuple[int, int]:
        """How often it goes through the same stretch of its input, and the bytes of that stretch."""
        return 1, 0

    def counted(self, call: Call) -> Optional[float]:
        """Instructions of a call as counted in an emulator, within a few hundredths, where its forms differ in more
        than the estimate's terms tell; None elsewhere."""
        return None

    def instructions_in_strips(self, call: Call, rows: Sequence[int]) -> Optional[float]:
        """Instructions of a call on RISC-V in strips of so many rows, or of all at once, by the code of its loops,
        fitted to the counts of `make bench`; None: they are proportional to what it computes."""
        return None

    def pieces(self, call: Call) -> int:
        """Into how many pieces the weights are cut so that their sums fit, for inputs in `Call.input_range`; 0: no
        sums are bounded so."""
        return 0

    def channels_alone(self, call: Call) -> int:
        """Of a kernel where two sums share a word, and its multiplications, if they fit: the channels whose do not."""
        return 0

    def pack(self, call: Call, low: int, high: int) -> Packed:
        """The weights in the kernel's layout; low, high: range of the input."""
        raise NotImplementedError

    def fields(self, call: Call) -> Dict[str, Any]:
        """The kernel's parameters without those of the weights."""
        raise NotImplementedError

    def name(self, call: Call) -> str:
        """The C function for a call, which may have an addend."""
        return self.kernel if call.addend is None else self.kernel.replace("_s8", "_add_s8")

    def emit(self, call: Call, c, inputs: Sequence[str], output: str) -> None:
        """Write the C; inputs: C names."""
        a = call.attributes
        packed = self.pack(call, *call.input_range)
        bias = rounding_bias(a["bias"], a["shift"]).astype(np.int64) + packed.bias
        shift = (np.asarray(a["shift"]) + packed.shift).astype(np.int8)
        weights = c.constant("weights", packed.weights, f"{list(a['weights'].shape)}, laid out for {self.kernel}")
        if packed.weights.dtype != np.int8:
            weights = f"(const int8_t *){weights}"
        fields = {
            **self.fields(call),
            "weights": weights,
            "bias": c.constant("bias", bias.astype(np.uint32).view(np.int32), "with what rounding and the layout add"),
            "shift": c.constant("shift", shift, "right shift per output channel"),
            "min": a["clamp"][0],
            "max": a["clamp"][1],
        }
        scratch = ["scratch"] if self.scratch(call) else []
        parameters = f"esp_dl_{self.takes or self.operator}_t"
        if call.addend is not None:
            parameters, fields = f"{parameters[:-2]}_add_t", {"conv2d": fields, **addend_field(call, c)}
        c.call(self.name(call), *inputs, c.struct(parameters, **fields), *scratch, output)
