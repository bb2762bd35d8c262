"""The time of every call: its instructions, and what it waits for from flash and PSRAM."""

from __future__ import annotations

import math
from typing import List, Tuple

import numpy as np

from ..boards import Board, known_to_read_constants_from_psram
from ..chips import CHIPS
from ..program import Call, CallTime, Item, Loop, Program, Tensor
from .costs import instructions
from .fetches import SHARE, fetches
from .memories import CLOCKS, CYCLES_PER_INSTRUCTION, Clock, Lines, flash_lines_of, psram_lines_of

# By which factor the time of a network may be wrong (docs/estimate.md says how that was found): from half to twice it.
ERROR = 2.0
# Instructions to begin a part on the other core and to wait for it: an assumption (docs/both-cores.md).
_SPLIT_INSTRUCTIONS = 3000


def estimate_program(program: Program, board: Board, constants: str) -> None:
    """Write the time of every call into `Call.estimate`: kernels are chosen and emitted, every place has its memory.

    constants: the memory that weights and tables are read from, "flash", "psram" or "internal"
    Calls of a loop take the instructions of whole images; starting a kernel for each strip is not counted.
    """
    if CHIPS[board.chip].is_host:
        return
    clock = CLOCKS[board.chip]
    # The constants of a small model stay in the cache from one inference to the next.
    waits = constants != "internal" and program.constant_bytes > clock.cache * SHARE
    vector = program.kernels_for == "esp32s3"
    for item in program.items:
        calls, strips = _strips(item, clock)
        for call in calls:
            call.estimate = _time(call, clock, board, vector, strips if waits else 0, _lines_of(constants, board))


def saved_in_psram(program: Program, board: Board) -> float:
    """Milliseconds of the estimate that weights would save if they were in PSRAM and not in flash; 0 where they cannot
    be there, where the board may have none, or where it is less than a tenth."""
    total = sum_of(program)[0]
    if not known_to_read_constants_from_psram(board):
        return 0.0
    line = CLOCKS[board.chip].line
    share = 1 - _lines_of("psram", board).nanoseconds(line, line) / _lines_of("flash", board).nanoseconds(line, line)
    saved = total.weights * share
    return saved / 1000 if saved > total.microseconds / 10 else 0.0


def _lines_of(constants: str, board: Board) -> Lines:
    return psram_lines_of(board) if constants == "psram" else flash_lines_of(board)


def sum_of(program: Program) -> Tuple[CallTime, List[Call]]:
    """The times of all calls together, and the calls whose instructions are not known: their time comes on top."""
    timed = [(call, call.estimate) for call in program.calls() if call.estimate is not None]
    total = CallTime(
        sum(time.instructions or 0 for _, time in timed),
        sum(time.compute for _, time in timed),
        sum(time.weights for _, time in timed),
        sum(time.activations for _, time in timed),
    )
    return total, [call for call, time in timed if time.instructions is None]


def _strips(item: Item, clock: Clock) -> Tuple[List[Call], int]:
    """The calls of an item, and how often the constants of each are fetched at least: for every strip of a loop, unless
    those of all its calls stay in the cache."""
    if not isinstance(item, Loop):
        return [item], 1
    together = sum(constant.array.nbytes for call in item.calls for constant in call.constants)
    return item.calls, 1 if together <= clock.cache * SHARE else item.strips


def _time(call: Call, clock: Clock, board: Board, vector: bool, least: int, lines: Lines) -> CallTime:
    """least: how often its constants are fetched at least, 0: never; lines: of the memory that they are fetched from"""
    if call.is_view:
        return CallTime(0, 0.0, 0.0, 0.0)
    weights = _weights(call, clock, least, lines) if least else 0.0
    activations = _activations(call, clock, board)
    count = instructions(call, clock.family, vector)
    if count is None:
        return CallTime(None, 0.0, weights, activations)
    if call.split is not None:
        busier = max(call.split.cut, call.split.size - call.split.cut) / call.split.size
        count = count * busier + _SPLIT_INSTRUCTIONS
    return CallTime(round(count), count * CYCLES_PER_INSTRUCTION / clock.mhz, weights, activations)


def _weights(call: Call, clock: Clock, least: int, lines: Lines) -> float:
    """Microseconds that a call waits for its constants."""
    size = min(sum(constant.array.nbytes for constant in call.constants), _taken(call, clock.line))
    often = least
    if size > clock.cache * SHARE and call.kind in ("conv2d", "dense"):
        pixels = call.output.elements // call.output.shape[-1]
        often = max(call.variant.weight_passes(call) if call.variant is not None else pixels, least)
    return often * lines.nanoseconds(size, clock.line) / 1000


def _taken(call: Call, line: int) -> float:
    """Bytes of a table that are fetched at most, where only some of its slices are taken."""
    if call.kind != "take" or "table" not in call.attributes:
        return math.inf
    table, axis = call.attributes["table"], call.attributes["axis"]
    slices = int(np.prod(table.shape[:axis], dtype=np.int64)) * call.inputs[-1].elements
    block = int(np.prod(table.shape[axis + 1 :], dtype=np.int64)) * table.itemsize
    # A slice that begins within a line of the cache may reach into one more.
    return slices * (-(-block // line) + (block % line != 0)) * line


def _activations(call: Call, clock: Clock, board: Board) -> float:
    """Microseconds that a call waits for what it reads and writes in PSRAM."""
    lines = psram_lines_of(board)
    waits = (often * lines.nanoseconds(x.bytes, clock.line) for x, often in fetches(call, clock) if _in_psram(x))
    return sum(waits) / 1000


def _in_psram(tensor: Tensor) -> bool:
    place = tensor.root.place
    return place is not None and place.memory == "psram"
