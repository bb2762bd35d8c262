"""Compiles a model so that it fits the memory of a board: in strips, or with a second arena in PSRAM, as needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional, Tuple

import onnx

from ..boards import DEFAULT_SLOWDOWN, Board, known_to_read_constants_from_psram
from ..compile import Imported, Partitioned, compile_imported, saving_of
from ..compile.compiled import CompiledModel
from ..estimate import estimate_program, sum_of
from ..port_options import PortOptions
from .fit import AUTO, MEMORY_OF, arena_limit
from .placement import PSRAM, buffers, note_memory, place_buffers


def compile_for_board(
    model: onnx.ModelProto,
    relay: Tuple[Imported, Partitioned],
    board: Board,
    arena: str = "auto",
    ports: PortOptions = PortOptions(),  # noqa: B008
    vector: bool = True,
    cores: int = 1,
    constants: str = "auto",
    traced: bool = False,
    slowdown: float = float(DEFAULT_SLOWDOWN) / 100,
) -> CompiledModel:
    """Compile so that the arena fits the internal RAM, if possible.

    Where it does not fit, fewer kernels are computed by both cores, and layers run in strips. Where that is not enough,
    tensors lie in a second arena, in PSRAM. What two cores need besides one stays within the bytes that are asked for.
    relay: of `import_model`; slowdown: the part of its time by which the program may take longer for the least arena;
    the rest: options of `export_onnx_model`
    """
    chip = board.chip if vector else None

    def within(room: Optional[int] = None, **more: Any) -> CompiledModel:
        options = {"arena_limit": room, "traced": traced, "target_chip": board.chip, "ports": ports, **more}
        return compile_imported(model, relay, chip=chip, cores=cores, **options)

    compiled = within()
    if arena == "least":
        small = within(0, strips=0, slowdown=slowdown)
        return replace(small, saving=saving_of(compiled.program, small.program, slowdown))
    room = arena_limit(compiled, board, constants)
    if cores > 1 and room is not None and compiled.program.arena_bytes > room:
        compiled = within(room)
    target = room if arena == "auto" else int(arena)
    if target is None or compiled.program.arena_bytes <= target:
        if arena == "auto" or (room is not None and compiled.program.arena_bytes > room):
            return compiled
        # The rest of the bytes that are allowed is for speed.
        allowed = target if room is None else min(target, room)
        return within(allowed, strips=allowed)
    if not room and arena == "auto" and board.psram is None:
        return compiled  # The buffers alone do not fit: strips cannot help, and whoever asked is told so at once.
    if room or arena != "auto":
        small = within(room if arena == "auto" else min(target, target if room is None else room), strips=target)
        if arena != "auto" or small.program.arena_bytes <= target or board.psram is None:
            return small
    # The buffers go to PSRAM: the arena can use their memory.
    alone = arena_limit(compiled, board, constants, beside_buffers=False)
    if compiled.program.arena_bytes <= alone:
        return within(alone) if cores > 1 else compiled
    small = within(alone, strips=alone, inside=alone)
    if small.program.arena_bytes <= alone and not small.program.psram_arena_bytes:
        return small
    divided = [one for one in (small, within(alone, inside=alone)) if one.program.psram_arena_bytes]
    return min(divided, key=lambda one: _microseconds(one, board, constants), default=compiled)


def _microseconds(compiled: CompiledModel, board: Board, constants: str) -> float:
    """How long an inference takes, by the estimate; with constants in the faster memory where that is still open."""
    program = compiled.program
    places = place_buffers(buffers(program), arena_limit(compiled, board, constants, beside_buffers=False))
    memories = [MEMORY_OF.get(constants, "flash")]
    if constants == AUTO and known_to_read_constants_from_psram(board):
        memories.append(PSRAM)
    times = []
    for memory in memories:
        note_memory(program, places, memory)
        estimate_program(program, board, memory)
        times.append(sum_of(program)[0].microseconds)
    return min(times)


__all__ = ["compile_for_board"]
