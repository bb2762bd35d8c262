"""Rows of images that calls read and compute: which rows of what it reads a call needs, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from ...kernel_limits import KERNEL_LIMITS
from ...operators import OPERATORS
from ...operators.rows import SAME_ROW, Reach, reach_of_operand
from ...program import Call, Tensor
from ..kernels.portable import QuantizeNhwc

# Tensors that a call in a loop may read.
MAX_INPUTS = KERNEL_LIMITS["STRIP_INPUTS"]


def reach_of(call: Call, place: int = 0) -> Optional[Reach]:
    """Which rows of what it reads as number `place` a call needs; None: it cannot be computed in strips of rows."""
    if place > 0:
        return reach_of_operand(call.reads[place].shape[1], call.writes[0].shape[1])
    if is_planar(call, 0):
        return SAME_ROW if call.reads[0].shape[0] == 1 else None
    if call.is_fallback or any(len(x.shape) != 4 or x.shape[0] != 1 for x in [*call.reads, *call.writes]):
        return None
    if any(OPERATORS[follower.operator].reach(follower) != SAME_ROW for follower in call.followers):
        return None
    return OPERATORS[call.operator].reach(call)


def row_bytes(tensor: Tensor) -> int:
    """Bytes of a row of an image [1, H, W, C]."""
    return tensor.bytes // tensor.shape[1]


def row_elements(tensor: Tensor) -> int:
    """Elements of a row of an image [1, H, W, C]."""
    return tensor.elements // tensor.shape[1]


def is_planar(call: Call, place: int) -> bool:
    """Whether input number `place` of a call is an image [1, C, H, W], a plane for each channel."""
    return place == 0 and isinstance(call.variant, QuantizeNhwc)


def read_row(call: Call, place: int) -> int:
    """Elements from one row to the next of the image that a call reads as number `place`."""
    x = call.reads[place]
    return x.shape[3] if is_planar(call, place) else row_elements(x)


@dataclass(frozen=True)
class Reading:
    """A tensor that a call reads. tensor: that owns the bytes; height: rows of the image; width: bytes of a row of it,
    0 where the rows of its channels lie apart, each channel a plane"""

    tensor: Tensor
    reach: Reach
    height: int
    width: int


class Reaches:
    """What is known of the rows of calls, worked out once for each while their kernels stay."""

    def __init__(self) -> None:
        self._known: Dict[Tuple[Call, int], Optional[Reach]] = {}
        self._heights: Dict[Call, int] = {}
        self._readings: Dict[Call, List[Reading]] = {}

    def readings(self, call: Call) -> List[Reading]:
        """Of a call that can be computed in strips, what `Call.reads` are."""
        if call not in self._readings:
            self._readings[call] = [self._reading(call, place, x) for place, x in enumerate(call.reads)]
        return self._readings[call]

    def _reading(self, call: Call, place: int, x: Tensor) -> Reading:
        if is_planar(call, place):
            return Reading(x.root, self.of(call, place), x.shape[2], 0)
        return Reading(x.root, self.of(call, place), x.shape[1], row_bytes(x))

    def of(self, call: Call, place: int = 0) -> Optional[Reach]:
        """`reach_of`."""
        key = (call, place)
        if key not in self._known:
            self._known[key] = reach_of(call, place)
        return self._known[key]

    def sums_rows(self, call: Call) -> bool:
        """Whether a call adds up all rows of an image: rows of a strip are then those of its input."""
        reach = self.of(call)
        return reach is not None and reach.sums

    def height_of(self, call: Call) -> int:
        """How many rows a call computes in all strips together, or adds up."""
        if call not in self._heights:
            self._heights[call] = (call.reads if self.sums_rows(call) else call.writes)[0].shape[1]
        return self._heights[call]

    def can_be_together(self, call: Call, later: List[Call]) -> bool:
        """Whether a call can be in a loop with `later` ones: its sum of all rows exists when the loop has ended."""
        return not self.sums_rows(call) or not any(x.root is call.writes[0] for one in later for x in one.reads)


def sums_rows(call: Call) -> bool:
    """The same of one call."""
    return Reaches().sums_rows(call)


def can_be_together(call: Call, later: List[Call]) -> bool:
    """The same of one call."""
    return Reaches().can_be_together(call, later)


def height_of(call: Call) -> int:
    """The same of one call."""
    return Reaches().height_of(call)
