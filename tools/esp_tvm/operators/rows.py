"""The rows of its input that an operator reads for a row of its output, if it can compute images row by row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reach:
    """Row y of the output is computed from rows y * stride - before to y * stride - before + span - 1 of the input.

    Rows outside the image are padding.
    """

    stride: int
    before: int
    span: int


# For an operator that computes every row from the same row of its inputs.
SAME_ROW = Reach(1, 0, 1)


def window_reach(stride: int, before: int, kernel: int, dilation: int) -> Reach:
    """The reach of a window of `kernel` taps along the rows."""
    return Reach(stride, before, (kernel - 1) * dilation + 1)
