"""Chooses the memory of the arena and of the application's buffers, each separately."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Sequence, Set

from ..program import Program, Tensor
from ..program.traffic import bytes_by_kind

# The things to place, and the kinds of `Place` in them.
ARENA, INPUTS, OUTPUTS, PSRAM_ARENA = "arena", "inputs", "outputs", "second arena"
_KINDS = {ARENA: ("arena", "window"), INPUTS: ("input",), OUTPUTS: ("output",), PSRAM_ARENA: ("psram_arena",)}
INTERNAL, PSRAM = "internal", "psram"
# The sdkconfig line that puts each into PSRAM; the second arena is never elsewhere.
PSRAM_LINES = {name: f"CONFIG_TVM_MODEL_{name.upper()}_PSRAM=y" for name in (ARENA, INPUTS, OUTPUTS)}


@dataclass(frozen=True)
class Buffer:
    """name: ARENA, INPUTS, OUTPUTS or PSRAM_ARENA

    bytes: its size; moved: bytes of it that an inference reads and writes
    """

    name: str
    bytes: int
    moved: int


def buffers(program: Program) -> List[Buffer]:
    """The arena, the application's buffers for the model's inputs and outputs, and the second arena if there is one."""
    moved = bytes_by_kind(program)
    found = [
        Buffer(ARENA, program.arena_bytes, moved["arena"]),
        Buffer(INPUTS, sum(port.bytes for port in program.inputs), moved["input"]),
        Buffer(OUTPUTS, sum(port.bytes for port in program.outputs), moved["output"]),
    ]
    if program.psram_arena_bytes:
        found.append(Buffer(PSRAM_ARENA, program.psram_arena_bytes, moved["psram_arena"]))
    return found


def place_buffers(found: Sequence[Buffer], room: int) -> Dict[str, str]:
    """Each buffer's memory: those whose bytes are moved most often get the `room` bytes of internal RAM first.

    The application itself moves each byte of its inputs and outputs only once; this is not counted here.
    """
    places = {}
    for buffer in sorted(found, key=lambda one: (-one.moved / max(one.bytes, 1), one.bytes)):
        inside = buffer.bytes <= room and buffer.name != PSRAM_ARENA
        places[buffer.name] = INTERNAL if inside else PSRAM
        room -= buffer.bytes if inside else 0
    return places


def note_memory(program: Program, places: Dict[str, str], constants: str) -> None:
    """Write the memory into the place of every tensor; constants: their memory, "flash" or "internal"."""
    memory = {kind: places[name] for name, kinds in _KINDS.items() if name in places for kind in kinds}
    memory["constant"] = constants
    tensors: Set[Tensor] = {*program.inputs, *program.outputs}
    for call in program.calls():
        for one in (call, *call.followers):
            tensors.update(one.inputs, one.outputs)
    for tensor in tensors:
        if tensor.place is not None:
            tensor.place = replace(tensor.place, memory=memory[tensor.place.kind])
