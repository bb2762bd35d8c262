"""The rows of its input that an operator reads for a row of its output, if it can compute images row by row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reach:
    """Row y of the output is computed from rows y * stride - before to y * stride - before + span - 1 of the input.

    Rows outside the image are padding.
    sums: the output is one row, made from all rows of the input, which are added up as they come
    """

    stride: int
    before: int
    span: int
    sums: bool = False


# For an operator that computes every row from the same row of its inputs.
SAME_ROW = Reach(1, 0, 1)
# For an operator that adds up all rows of its input.
ALL_ROWS = Reach(1, 0, 1, sums=True)


@dataclass(frozen=True)
class RowSums:
    """Rows that an operator adds up in one strip. pixels: of all strips; begins, ends: whether it is the first, last"""

    pixels: int
    begins: bool
    ends: bool


def window_reach(stride: int, before: int, kernel: int, dilation: int) -> Reach:
    """The reach of a window of `kernel` taps along the rows."""
    return Reach(stride, before, (kernel - 1) * dilation + 1)
