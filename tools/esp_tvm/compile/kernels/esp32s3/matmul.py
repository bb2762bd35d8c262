"""Products of two activations on the ESP32-S3: columns of the second are laid out like weights while it runs."""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np

from ....operators.matmul import matmul_fields, matmul_sizes
from ....program import Call
from .lanes import LANES, MAX_SHIFT, PART_SHIFT, Esp32s3Variant, aligned, pack_head, parts_fit_lanes, sums_fit_lanes

# Bytes before the weights of sixteen channels; those that are read behind all; of a tile for a transpose, twice.
_HEAD, _READ_AHEAD, _TILES = 48, 32, 512
# Of columns so many bytes are laid out at a time.
_BLOCK_BYTES = 16 * 1024


class MatMulLanes(Esp32s3Variant):
    """Sixteen columns at a time, of two activations; sums proved to fit 20 bits, in two parts where they do not at
    once."""

    operator = "matmul"
    kernel = "esp_dl_matmul_s8_esp32s3"

    def fits_range(self, call, low, high):
        a = call.attributes
        if "left" in a or "right" in a or not 0 <= a["shift"] <= MAX_SHIFT:
            return False
        return self._in_parts(call, low, high) is not None

    @staticmethod
    def _in_parts(call: Call, low: int, high: int) -> Optional[bool]:
        """Whether sums fit in two parts alone; None where they do not fit at all."""
        shift, inner = call.attributes["shift"], matmul_sizes(call)[2]
        # The second operand may be anything.
        extremes = np.array([[-128], [127]], np.int8).repeat(inner, axis=1)
        start = np.full(2, _start(shift), np.int64)
        if sums_fit_lanes(extremes, start, low, high):
            return False
        return True if shift >= PART_SHIFT and parts_fit_lanes(extremes, start, low, high) else None

    @staticmethod
    def _block(call: Call) -> int:
        _, _, inner, columns = matmul_sizes(call)
        fitting = _BLOCK_BYTES // (_HEAD + LANES * aligned(inner))
        return min(aligned(columns), max(fitting, 1) * LANES)

    def scratch(self, call):
        inner, block = aligned(matmul_sizes(call)[2]), self._block(call)
        return block // LANES * (_HEAD + LANES * inner) + _READ_AHEAD + inner + block + _TILES

    def weight_passes(self, call):
        return 1

    def body(self, call, c) -> Dict:
        shift = call.attributes["shift"]
        head = pack_head(np.full(LANES, _start(shift)), np.full(LANES, shift))[0]
        return {
            "matmul": matmul_fields(call),
            "block": self._block(call),
            "parts": bool(self._in_parts(call, *call.input_range)),
            "head": c.constant("head", head, "what rounding adds, and the shift"),
        }

    def emit(self, call, c, inputs, output):
        parameters = c.struct(f"{self.kernel.replace('_s8_', '_')}_t", **self.body(call, c))
        c.call(self.kernel, inputs[0], inputs[1], parameters, "scratch", output)


def _start(shift: int) -> int:
    """What sums start with: half of what is shifted out."""
    return 1 << (shift - 1) if shift > 0 else 0
