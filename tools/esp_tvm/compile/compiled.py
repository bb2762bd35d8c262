"""The result of compiling a model: the program, its C, and the Relay modules that the references are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ..program import Program
from .emitting.emit import Code
from .importing.import_onnx import Imported
from .partition import Partitioned
from .planning.ports import PortNotes


@dataclass(frozen=True)
class Saving:
    """What the least arena saves and costs.

    before, after: bytes of arena as fast as can be without strips, and now; slower: the part of the estimated
    instructions that this takes more; allowed: at most this part
    """

    before: int
    after: int
    slower: float
    allowed: float

    @property
    def line(self) -> str:
        less = f"{self.after} bytes instead of {self.before} ({100 * (self.after / max(self.before, 1) - 1):+.0f} %)"
        allowed = f"at most {100 * self.allowed:g} % more were allowed"
        if self.after >= self.before:
            return f"least arena: {self.before} bytes, as without strips; {allowed}"
        return f"least arena: {less}, for an estimated {100 * self.slower:+.1f} % of instructions; {allowed}"


@dataclass
class CompiledModel:
    """program: what all tools read; code: its C; imported, partitioned: the model in Relay, before and after kernels
    were found for its parts; port_notes: on the types of its inputs and outputs; saving: of the least arena, where
    that was asked for"""

    program: Program
    code: Code
    imported: Imported
    partitioned: Partitioned
    port_notes: PortNotes
    saving: Optional[Saving] = None
