"""Whether a model fits a board: internal RAM or PSRAM, flash, partitions. Decided at export, not on the board."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence

from ..boards import Board, default_board, flash_lines, psram_constants_line, psram_lines, revision_lines
from ..chips import CHIPS, DATA_ALIGNMENT, KIB, MIB, Chip, aligned
from ..compile.compiled import CompiledModel
from ..errors import UserError
from ..naming import shown
from ..program import Exported
from ..terminal import Part, Table
from .placement import (
    ARENA,
    INPUTS,
    INTERNAL,
    OUTPUTS,
    PSRAM,
    PSRAM_ARENA,
    PSRAM_LINES,
    Buffer,
    buffers,
    place_buffers,
)

# A generous estimate of what the rest of a program needs: FreeRTOS, drivers, code in RAM, stacks, some heap; and code
# in flash.
SYSTEM_RAM = 96 * KIB
SYSTEM_FLASH = 512 * KIB
# As much PSRAM is left for the system and the application's heap.
SYSTEM_PSRAM = 64 * KIB
# Where a project keeps weights and tables, and the option of its own for it (empty: the default, or ESP-IDF's).
CONSTANTS = {
    "flash": "",
    "ram": "CONFIG_TVM_MODEL_CONSTANTS_RAM=y",
    "partition": "CONFIG_TVM_MODEL_CONSTANTS_PARTITION=y",
    "psram": "",
}
# Instead of these: in flash or in PSRAM, as the board and the estimate say (constants.py).
AUTO = "auto"
# The memory that they are read from, if not flash.
MEMORY_OF = {"ram": INTERNAL, "psram": PSRAM}
# The first partition of the application starts here; application partitions are aligned to this.
APP_OFFSET = 0x10000
APP_ALIGNMENT = 0x10000
# The beginning of a partitions.csv that this tool writes.
PARTITIONS_HEAD = "# Made by the export step"


@dataclass(frozen=True)
class Fit:
    """The settings of a project for a board.

    places: "internal" or "psram" for each of the buffers (placement.py); room: the available bytes of internal RAM
    flash_mib: the size of the board's flash chip, or the size needed; app_bytes: size of the app partition
    constants: where weights and tables are stored, a key of CONSTANTS; constants_bytes: size of the data partition for
    them, after the app partition; 0 for none
    notes: lines for the user; sdkconfig: lines for sdkconfig.defaults.<chip>
    """

    board: Board
    places: Dict[str, str]
    room: int
    flash_mib: int
    app_bytes: int
    constants: str = "flash"
    constants_bytes: int = 0
    notes: List[str] = field(default_factory=list)
    sdkconfig: List[str] = field(default_factory=list)

    @property
    def psram(self) -> bool:
        """Whether anything is placed in PSRAM."""
        return PSRAM in self.places.values() or self.constants_memory == PSRAM

    @property
    def constants_memory(self) -> str:
        """The memory that weights and tables are read from."""
        return MEMORY_OF.get(self.constants, "flash")


def internal_room(board: Board) -> int:
    """Bytes of internal RAM available to a model: arena, buffers, and weights that are copied there."""
    if board.internal is not None:
        return board.internal
    return max(CHIPS[board.chip].static_ram - SYSTEM_RAM, 0)


def buffer_bytes(compiled: CompiledModel) -> int:
    """Inputs and outputs of the application: static buffers in main/."""
    return _bytes_in(buffers(compiled.program), [INPUTS, OUTPUTS])


def arena_limit(
    compiled: CompiledModel, board: Board, constants: str = "flash", beside_buffers: bool = True
) -> Optional[int]:
    """Bytes of internal RAM left for the arena; None: no limit (the host).

    beside_buffers: while the application's buffers are there too
    """
    if CHIPS[board.chip].is_host:
        return None
    weights = compiled.program.constant_bytes if constants == "ram" else 0
    return max(internal_room(board) - weights - (buffer_bytes(compiled) if beside_buffers else 0), 0)


def check_constants(place: str) -> str:
    """`place`, which must be `auto` or one of CONSTANTS."""
    if place not in (AUTO, *CONSTANTS):
        raise UserError(f"--constants {shown(place)}: unknown; choose one of {', '.join((AUTO, *CONSTANTS))}")
    return place


def fit_chip(compiled: CompiledModel, chip: Chip, constants: str = "flash", board: Optional[Board] = None) -> Fit:
    """Place the arena and the buffers and size the flash, or refuse and give the numbers.

    constants: where weights and tables are stored: flash (part of the program), ram or psram (copied there at start),
    partition (a separate data partition). Unless required, the partition is only created if the flash has room for it.
    board: with the chip; None: the assumed board for it
    """
    place, board = constants, board or default_board(chip)
    partition = aligned(len(compiled.code.constants_bin), DATA_ALIGNMENT)
    if chip.is_host:
        nowhere = dict.fromkeys((ARENA, INPUTS, OUTPUTS), INTERNAL)
        return Fit(board, nowhere, 0, 4, 2 * MIB - APP_OFFSET, place, partition)
    notes: List[str] = []
    room = internal_room(board)
    places = _places(compiled, board, room, place, notes)
    weights = compiled.program.constant_bytes
    inside = weights - len(compiled.code.constants_bin) if place == "partition" else weights
    app = aligned(SYSTEM_FLASH + max(inside, 0) * 17 // 16 + buffer_bytes(compiled), APP_ALIGNMENT)
    flash = _flash(board, chip, APP_OFFSET + app + (partition if place == "partition" else 0), weights)
    if APP_OFFSET + app + partition > flash * MIB:
        partition = 0
    lines = [f"CONFIG_ESPTOOLPY_FLASHSIZE_{flash}MB=y", *flash_lines(board), *revision_lines(board)]
    if board.chip == "esp32p4" and not board.name:
        notes.append(
            "an ESP32-P4 of a revision before 3.0 (esptool chip-id shows it) needs, from ESP-IDF 5.5.3 on, "
            "CONFIG_ESP32P4_SELECTS_REV_LESS_V3=y; BOARD= sets it for a board that has one"
        )
    outside = [name for name, memory in places.items() if memory == PSRAM]
    if board.psram is not None and (outside or place == "psram"):
        lines += [*psram_lines(chip, board.psram), *(PSRAM_LINES[name] for name in outside if name in PSRAM_LINES)]
    if place == "psram":
        lines.append(_constants_in_psram(board, app + _bytes_in(buffers(compiled.program), outside)))
    if place == "partition":
        where = f"{APP_OFFSET + app:#x}, {partition} bytes"
        notes.append(f"the weights lie in the partition 'constants' ({where}); make flash-weights writes them alone")
    if CONSTANTS[place]:
        lines.append(CONSTANTS[place])
    return Fit(board, places, room, flash, app, place, partition, notes, lines)


def _bytes_in(found: List[Buffer], names: List[str]) -> int:
    return sum(buffer.bytes for buffer in found if buffer.name in names)


def _constants_in_psram(board: Board, needed: int) -> str:
    """The sdkconfig line that puts constant data there, or a `UserError`.

    needed: bytes in PSRAM, with all constant data of the program
    """
    chip, option = CHIPS[board.chip], "--constants psram"
    line = psram_constants_line(chip)
    if not line:
        able = ", ".join(one.name for one in CHIPS.values() if psram_constants_line(one))
        raise UserError(f"{option}: {chip.name} cannot read constant data from PSRAM; {able} can")
    if board.psram is None:
        raise UserError(f"{option}: {board.name or 'the board'} has no PSRAM; leave them in flash")
    there = board.psram.mib * MIB - SYSTEM_PSRAM
    if needed > there:
        raise UserError(
            f"{option}: {needed} bytes with the program's other constant data do not fit the {there} bytes of PSRAM; "
            "leave them in flash"
        )
    return line


def _flash(board: Board, chip: Chip, needed: int, weights: int) -> int:
    """MiB of the board's flash chip, or of the smallest that holds `needed` bytes."""
    sizes = chip.flash_sizes if board.flash_mib is None else (board.flash_mib,)
    for mib in sizes:
        if needed <= mib * MIB:
            return mib
    owner = f"{chip.name} modules have" if board.flash_mib is None else f"{board.name or 'the board'} has"
    raise UserError(
        f"{weights} bytes of weights and {SYSTEM_FLASH} bytes of program do not fit the "
        f"{sizes[-1]} MiB of flash that {owner}; take a smaller model"
        + ("" if board.flash_mib in (None, chip.flash_sizes[-1]) else " or a board with more")
    )


def _places(compiled: CompiledModel, board: Board, room: int, constants: str, notes: List[str]) -> Dict[str, str]:
    """The memory of the arena and of the application's buffers."""
    chip, weights = CHIPS[board.chip], compiled.program.constant_bytes if constants == "ram" else 0
    if weights > room:
        raise UserError(
            f"{weights} bytes of weights do not fit the internal RAM of {chip.name}, which has about {room} bytes for "
            "them; leave them in flash (without --constants ram)"
        )
    found = buffers(compiled.program)
    places = place_buffers(found, room - weights)
    outside = [buffer for buffer in found if places[buffer.name] == PSRAM]
    if outside:
        notes.append(_in_psram(found, outside, board, room, weights, compiled.port_notes.offers))
    return places


def _in_psram(
    found: List[Buffer], outside: List[Buffer], board: Board, room: int, weights: int, offers: Sequence[str]
) -> str:
    """The note about what is placed in PSRAM, or a `UserError` if there is too little.

    offers: what inputs and outputs would take as integers
    """
    chip, psram = CHIPS[board.chip], board.psram
    arena = _bytes_in(found, [ARENA, PSRAM_ARENA])
    needed = f"the arena of {arena} bytes and {_bytes_in(found, [INPUTS, OUTPUTS])} bytes of inputs and outputs"
    smaller = "".join(f"; {offer}" for offer in offers)
    available = f"{board.name or chip.name} has about {room} bytes of internal RAM for them"
    if weights:
        available += f", of which the weights take {weights}"
    if psram is None:
        if chip.psram is None:
            able = ", ".join(one.name for one in CHIPS.values() if one.psram)
            others = f"choose a chip with PSRAM ({able})"
        else:
            others = "choose a board with PSRAM"
        raise UserError(f"{needed} do not fit: {available} and no PSRAM; {others} or a smaller model{smaller}")
    there, size = psram.mib * MIB - SYSTEM_PSRAM, sum(one.bytes for one in outside)
    if size > there:
        more = "" if psram.mib >= chip.psram_limit else "a board with more (--board, --psram) or "
        least = f"{there} bytes of PSRAM; take {more}a smaller model{smaller}"
        raise UserError(f"{needed} do not fit: {available}, and {least}")
    names = " and ".join(f"{one.name} ({one.bytes} bytes)" for one in outside)
    assumed = f". {psram.text} are assumed: say what your board has (--board or --psram)" if board.assumed else ""
    return f"{needed} do not fit: {available}. In PSRAM, which is slower: {names}{assumed}"


def fit_parts(compiled: CompiledModel, chip: Chip, fit: Fit) -> List[Part]:
    """The board's memory and the model's use of it, for users."""
    if chip.is_host:
        return [f"for {chip.cpu}: the host"]
    memories = {INTERNAL: "internal RAM", PSRAM: "PSRAM"}
    rows = [(one.name, one.bytes, memories[fit.places[one.name]], one.moved) for one in buffers(compiled.program)]
    weights = compiled.program.constant_bytes
    rows.append(("constants", weights, memories.get(fit.constants_memory, "flash"), ""))
    taken = {memory: sum(row[1] for row in rows if row[2] == memory) for memory in memories.values()}
    lines = [f"internal RAM: {taken['internal RAM']} bytes of about {fit.room}"]
    if fit.board.psram is not None:
        lines.append(f"PSRAM: {taken['PSRAM']} bytes of {fit.board.psram.mib * MIB}")
    lines.append(f"flash: a program of up to {fit.app_bytes // KIB} KiB in {fit.flash_mib} MiB")
    head = ("what", "bytes", "lies in", "bytes moved in an inference")
    return [f"for {chip.name} ({chip.cpu}), board {fit.board.text}", Table(head, rows, "lrlr"), "; ".join(lines)]


def exported_facts(fit: Fit, chip: Chip, options: Dict[str, str]) -> Exported:
    """What metadata.json keeps of the board's memory; options: of the export step."""
    if chip.is_host:
        return Exported(options)
    psram = fit.board.psram.mib * MIB if fit.board.psram is not None else 0
    return Exported(options, fit.room, psram, fit.flash_mib * MIB, fit.app_bytes)


def partition_table(fit: Fit) -> str:
    """partitions.csv with partitions of the sizes that the model needs."""
    lines = [
        f"{PARTITIONS_HEAD}: factory has room for the program, constants for the model's weights, which lie",
        "# there or in the program (menuconfig, TVM model).",
        "# Name,    Type, SubType,   Offset,   Size",
        "nvs,       data, nvs,       0x9000,   0x6000",
        "phy_init,  data, phy,       0xf000,   0x1000",
        f"factory,   app,  factory,   {APP_OFFSET:#x},  {fit.app_bytes:#x}",
    ]
    if fit.constants_bytes:
        lines.append(f"constants, data, undefined, {APP_OFFSET + fit.app_bytes:#x}, {fit.constants_bytes:#x}")
    return "\n".join([*lines, ""])
