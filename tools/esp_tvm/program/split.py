"""How two cores share a call, as tools read it; compile/planning/cores.py decides it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Split:
    """axis: images, rows, columns or outputs, `size` of them: the calling core computes those before `cut`.

    saved: instructions that the calling core does not execute, by the estimate
    """

    axis: str
    size: int
    cut: int
    saved: int

    @property
    def text(self) -> str:
        """`rows 0-15 and 16-31`"""
        return f"{self.axis} 0-{self.cut - 1} and {self.cut}-{self.size - 1}"

    @property
    def slower(self) -> float:
        """The part of the work that the core with more of it has."""
        return max(self.cut, self.size - self.cut) / self.size
