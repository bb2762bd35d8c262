"""How many instructions the kernels take that may compute a call, whole or in strips, and what memory they need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...estimate.costs import costs, instructions
from ...program import Call, Loop, Program
from ..kernels.esp32s3 import Esp32s3Variant
from ..kernels.mac16 import variants_of
from ..kernels.variants import Variant
from ..kernels.winograd import Conv2dWinograd
from .blocks import aligned
from .cores import PLAIN, estimate
from .memory import known
from .reaches import row_bytes

# Estimated instructions: to start a kernel for a strip (VECTOR_CALL: one for the vector unit), and for an output value
# of a kernel that was not counted and has no multiply-accumulates.
CALL, VECTOR_CALL = 600, 900
VALUE = 6
# To move a byte of a row that a later strip still reads.
MOVED_BYTE = 0.6


@dataclass(frozen=True)
class Choice:
    """A kernel for a call. scratch: bytes of scratch memory; time: instructions"""

    variant: Optional[Variant]
    scratch: int
    time: float


class KernelTimes:
    """Kernels and their instructions on the chip that a program is for; each is computed once."""

    def __init__(self, program: Program):
        self._chip = program.kernels_for
        self._vector = program.kernels_for == "esp32s3"
        self._family = "xtensa" if program.kernels_for in ("esp32", "esp32s3") else "riscv"
        self._whole: Dict[Tuple[Call, Optional[Variant]], float] = {}
        self._variants: Dict[Call, List[Variant]] = {}
        self._choices: Dict[Tuple[Call, Optional[Variant], bytes], List[Choice]] = {}
        self._in_strips: Dict[Tuple[Call, Optional[Variant], bytes], List[Choice]] = {}

    def choices(self, call: Call, rows: Sequence[int]) -> List[Choice]:
        """The kernel that a call has, and those that take less time with more scratch memory, by rising memory.

        rows: of the output in each strip; one number where it is computed as a whole
        """
        key = (call, call.variant, np.asarray(rows).tobytes())
        if key not in self._choices:
            self._choices[key] = self._find_choices(call, rows)
        return self._choices[key]

    def choices_in_strips(self, call: Call, rows: np.ndarray) -> List[Choice]:
        """The same; rows: int64 [strips], 0 of those that are empty."""
        key = (call, call.variant, rows.tobytes())
        if key not in self._in_strips:
            self._in_strips[key] = self.choices(call, rows[rows > 0])
        return self._in_strips[key]

    def _find_choices(self, call: Call, rows: Sequence[int]) -> List[Choice]:
        found = [self._choice(call, call.variant, rows)]
        if call.variant is None or isinstance(call.variant, Esp32s3Variant):
            return found
        others = []
        for variant in self._fitting(call):
            if variant is not call.variant and (
                not isinstance(variant, Conv2dWinograd) or variant.fits_rows(call, rows)
            ):
                others.append(self._choice(call, variant, rows))
        for one in sorted(others, key=lambda one: (one.scratch, one.time)):
            if one.scratch > found[-1].scratch and one.time < found[-1].time:
                found.append(one)
        return found

    def _choice(self, call: Call, variant: Optional[Variant], rows: Sequence[int]) -> Choice:
        scratch = 0 if variant is None else aligned(known.scratch_in_strips(call, variant, max(rows, default=0)))
        return Choice(variant, scratch, self.time(call, variant, rows))

    def _fitting(self, call: Call) -> List[Variant]:
        """Kernels that can compute a call; whether those by minimal filtering can depends on the strips."""
        if call not in self._variants:
            self._variants[call] = [
                variant
                for variant in variants_of(call.operator, self._chip)
                if isinstance(variant, Conv2dWinograd) or variant.fits(call)
            ]
        return self._variants[call]

    def is_faster(self, call: Call, variant: Variant) -> bool:
        """Whether a kernel takes less time than the one that a call has; where that was not counted, it should."""
        rows = rows_of(call)
        if None in (one.instructions_in_strips(call, rows) for one in (call.variant, variant)):
            return True
        return self.time(call, variant, rows) < self.time(call, call.variant, rows)

    def time(self, call: Call, variant: Optional[Variant], rows: Sequence[int]) -> float:
        """Instructions of all strips together, and of starting the kernel for each."""
        start = VECTOR_CALL if isinstance(variant, Esp32s3Variant) else CALL
        counted = None if variant is None else variant.instructions_in_strips(call, rows)
        if counted is not None:
            return start * len(rows) + costs()["scale"][self._family] * counted
        key = (call, variant)
        if key not in self._whole:
            self._whole[key] = self._of_whole(call, variant)
        return start * len(rows) + self._whole[key]

    def _of_whole(self, call: Call, variant: Optional[Variant]) -> float:
        if call.is_fallback or call.operator == "reshape":
            return 0.0
        kernel = f"esp_dl_{call.operator}_s8" if variant is None else variant.name(call)
        known = instructions(replace(call, variant=variant, kernel=kernel), self._family, self._vector)
        if known is not None:
            return known
        if call.kind in PLAIN:
            return estimate(replace(call, variant=variant))
        return VALUE * sum(x.elements for x in call.writes)

    def of_program(self, program: Program) -> float:
        """Instructions of the kernels that are chosen, with what strips take more."""
        total = 0.0
        for item in program.items:
            for call in item.calls if isinstance(item, Loop) else [item]:
                total += self.time(call, call.variant, rows_of(call))
            if isinstance(item, Loop):
                for tensor, window in item.schedule.windows.items():
                    total += MOVED_BYTE * row_bytes(tensor) * float(np.maximum(window.kept, 0).sum())
        return total


def rows_of(call: Call) -> List[int]:
    """The rows of each strip that is not empty; of a call that is computed as a whole, all of its output."""
    if call.strips is not None:
        return [one.end - one.first for one in call.strips.strips if not one.is_empty]
    return [call.writes[0].shape[1] if len(call.writes[0].shape) > 1 else 1]
