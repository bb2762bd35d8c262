"""Chooses the memory of the arena and of the application's buffers, each separately."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Sequence, Set

from ..program import Program, Tensor
from ..program.traffic import bytes_by_kind

# The things to place, and the kinds of `Place` in them.
ARENA, INPUTS, OUTPUTS = "arena", "inputs", "outputs"
_KINDS = {ARENA: ("arena", "window"), INPUTS: ("input",), OUTPUTS: ("output",)}
INTERNAL, PSRAM = "internal", "psram"
# The sdkconfig line that puts each into PSRAM.
PSRAM_LINES = {name: f"CONFIG_TVM_MODEL_{name.upper()}_PSRAM=y" for name in _KINDS}


@dataclass(frozen=True)
class Buffer:
    """name: ARENA, INPUTS or OUTPUTS; bytes: its size; moved: bytes of it that an inference reads and writes"""

    name: str
    bytes: int
    moved: int


def buffers(program: Program) -> List[Buffer]:
    """The arena, and the application's buffers for the model's inputs and outputs."""
    moved = bytes_by_kind(program)
    return [
        Buffer(ARENA, program.arena_bytes, moved["arena"]),
        Buffer(INPUTS, sum(port.bytes for port in program.inputs), moved["input"]),
        Buffer(OUTPUTS, sum(port.bytes for port in program.outputs), moved["output"]),
    ]


def place_buffers(found: Sequence[Buffer], room: int) -> Dict[str, str]:
    """Each buffer's memory: those whose bytes are moved most often get the `room` bytes of internal RAM first.

    The application itself moves each byte of its inputs and outputs only once; this is not counted here.
    """
    places = {}
    for buffer in sorted(found, key=lambda one: (-one.moved / max(one.bytes, 1), one.bytes)):
        inside = buffer.bytes <= room
        places[buffer.name] = INTERNAL if inside else PSRAM
        room -= buffer.bytes if inside else 0
    return places


def note_memory(program: Program, places: Dict[str, str], constants: str) -> None:
    """Write the memory into the place of every tensor; constants: their memory, "flash" or "internal"."""
    memory = {kind: places[name] for name, kinds in _KINDS.items() for kind in kinds}
    memory["constant"] = constants
    tensors: Set[Tensor] = {*program.inputs, *program.outputs}
    for call in program.calls():
        for one in (call, *call.followers):
            tensors.update(one.inputs, one.outputs)
    for tensor in tensors:
        if tensor.place is not None:
            tensor.place = replace(tensor.place, memory=memory[tensor.place.kind])
