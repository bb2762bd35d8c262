"""The rows of its inputs that an operator reads for a row of its output, if it can compute images row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np


class Reach:
    """Which rows of an input rows of the output are computed from: later ones never from earlier rows.

    sums: the output is one row, made from all rows of the input, which are added up as they come
    """

    sums = False

    def input_rows(self, first: np.ndarray, end: np.ndarray, height: int) -> Tuple[np.ndarray, np.ndarray]:
        """(first, end) of the rows of an image of `height` that output rows first to end - 1 need: at least one."""
        raise NotImplementedError

    def output_rows(self, there: np.ndarray, height: int) -> np.ndarray:
        """How many rows of an output of `height` need no more than the first `there` rows of an image."""
        raise NotImplementedError


@dataclass(frozen=True)
class WindowReach(Reach):
    """Row y of the output is computed from rows y * stride - before to y * stride - before + span - 1 of the input.

    Rows outside the image are padding.
    """

    stride: int
    before: int
    span: int
    sums: bool = False

    def input_rows(self, first, end, height):
        begin = np.minimum(np.maximum(first * self.stride - self.before, 0), height - 1)
        last = (end - 1) * self.stride - self.before + self.span
        return begin, np.minimum(np.maximum(last, begin + 1), height)

    def output_rows(self, there, height):
        return np.minimum(np.maximum((there + self.before - self.span) // self.stride + 1, 0), height)


@dataclass(frozen=True)
class TableReach(Reach):
    """Row y of the output is computed from rows firsts[y] to ends[y] - 1 of the input; neither ever decreases.

    firsts[0] is 0: kernels go through an image from its first row on.
    """

    firsts: Tuple[int, ...]
    ends: Tuple[int, ...]

    def input_rows(self, first, end, height):
        begin = np.array(self.firsts)[np.minimum(first, len(self.firsts) - 1)]
        return begin, np.maximum(np.array(self.ends)[np.maximum(end - 1, 0)], begin + 1)

    def output_rows(self, there, height):
        return np.searchsorted(np.array(self.ends), there, side="right")


# For an operator that computes every row from the same row of its inputs.
SAME_ROW = WindowReach(1, 0, 1)
# For an operator that adds up all rows of its input.
ALL_ROWS = WindowReach(1, 0, 1, sums=True)


def table_reach(firsts: np.ndarray, ends: np.ndarray) -> TableReach:
    """The reach by two tables, [rows of the output]; rows above those of the first one count as read by that."""
    return TableReach((0, *map(int, firsts[1:])), tuple(map(int, ends)))


def reach_of_operand(height_in: int, height: int) -> Reach:
    """The reach into one of the operands that are combined row by row: its only row serves all."""
    return TableReach((0,) * height, (1,) * height) if height_in == 1 < height else SAME_ROW


@dataclass(frozen=True)
class RowSums:
    """Rows that an operator adds up in one strip. pixels: of all strips; begins, ends: whether it is the first, last"""

    pixels: int
    begins: bool
    ends: bool


def window_reach(stride: int, before: int, kernel: int, dilation: int) -> Reach:
    """The reach of a window of `kernel` taps along the rows."""
    return WindowReach(stride, before, (kernel - 1) * dilation + 1)
