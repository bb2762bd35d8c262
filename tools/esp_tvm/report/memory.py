"""What a program takes of the memories of its board, and what lies where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional

from ..program.form import Program

NAMES = {"internal": "internal RAM", "psram": "PSRAM", "flash": "flash"}


@dataclass
class MemoryRow:
    """Something that takes memory. memory: a value of NAMES, "" on the host; of: bytes that there are, None: unknown

    total: whether it is the sum of the others in that memory
    """

    what: str
    memory: str
    bytes: int
    of: Optional[int] = None
    total: bool = False

    @property
    def share(self) -> Optional[float]:
        """Of what there is, 0..1; above 1 where it does not fit."""
        return self.bytes / self.of if self.of else None


def memory_rows(program: Program) -> List[MemoryRow]:
    """Arenas, inputs, outputs, constants; then, for each memory that they are in, their sum."""
    there = program.exported
    of = {} if there is None else {"internal": there.internal, "psram": there.psram, "flash": there.flash}
    second = [_row("second arena (activations)", "psram", program.psram_arena_bytes, of)]
    rows = [
        _row("arena (activations)", _memory_of(program, ("arena", "window")), program.arena_bytes, of),
        *(second if program.psram_arena_bytes else []),
        _row("inputs of the model", _memory_of(program, ("input",)), sum(p.bytes for p in program.inputs), of),
        _row("outputs of the model", _memory_of(program, ("output",)), sum(p.bytes for p in program.outputs), of),
        _row("weights and tables", _constants_in(program), program.constant_bytes, of),
    ]
    for key, name in NAMES.items():
        own = [row for row in rows if row.memory == name]
        if own:
            rows.append(MemoryRow("together", name, sum(row.bytes for row in own), of.get(key) or None, True))
    return rows


def _row(what: str, memory: str, size: int, of: Dict[str, int]) -> MemoryRow:
    return MemoryRow(what, NAMES.get(memory, ""), size, of.get(memory) or None)


def _constants_in(program: Program) -> str:
    if not program.board:
        return ""
    constants = program.exported.options.get("constants", "flash") if program.exported is not None else "flash"
    return {"ram": "internal", "psram": "psram"}.get(constants, "flash")


def _memory_of(program: Program, kinds: tuple) -> str:
    """The memory of the first tensor that lies in a place of these kinds; "" on the host."""
    if not program.board:
        return ""
    tensors = [*program.inputs, *program.outputs, *(t for call in program.calls() for t in call.writes)]
    found = (t.place.memory for t in tensors if t.place is not None and t.place.kind in kinds)
    return next(found, "internal")


__all__ = ["MemoryRow", "memory_rows"]
