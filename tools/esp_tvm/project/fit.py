"""Whether a model fits a chip: internal RAM or PSRAM, flash, partitions. Decided at export, not on the board."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional

from ..chips import DATA_ALIGNMENT, KIB, MIB, Chip, aligned
from ..compile.compiled import CompiledModel
from ..errors import UserError
from ..naming import shown

# What the rest of a program needs, generously: FreeRTOS, drivers, code in RAM, stacks, some heap; and code in flash.
SYSTEM_RAM = 96 * KIB
SYSTEM_FLASH = 512 * KIB
# PSRAM chips on common modules have 2 to 32 MiB; the system's share is small.
PSRAM_BYTES = 2 * MIB
# Where a project keeps weights and tables; the sdkconfig line that says so (nothing: the default).
CONSTANTS = {
    "flash": "",
    "ram": "CONFIG_TVM_MODEL_CONSTANTS_RAM=y",
    "partition": "CONFIG_TVM_MODEL_CONSTANTS_PARTITION=y",
}
# The first partition of the application starts here; application partitions are aligned to this.
APP_OFFSET = 0x10000
APP_ALIGNMENT = 0x10000
# What a partitions.csv of ours begins with.
PARTITIONS_HEAD = "# Made by the export step"


@dataclass(frozen=True)
class Fit:
    """What a project for a chip is set to.

    psram: the arena lies in PSRAM; flash_mib: the flash chip that is needed; app_bytes: size of the app partition;
    constants_bytes: size of the data partition for the weights, behind it; 0 for none
    notes: lines for the user; sdkconfig: lines for sdkconfig.defaults.<chip>
    """

    psram: bool
    flash_mib: int
    app_bytes: int
    constants_bytes: int = 0
    notes: List[str] = field(default_factory=list)
    sdkconfig: List[str] = field(default_factory=list)


def buffer_bytes(compiled: CompiledModel) -> int:
    """Inputs and outputs of the application: static buffers in main/, in the same memory as the arena."""
    return sum(port.bytes for port in [*compiled.program.inputs, *compiled.program.outputs])


def arena_limit(compiled: CompiledModel, chip: Chip, constants: str = "flash") -> Optional[int]:
    """Bytes of internal RAM that are left for the arena; None: there is no limit (the host)."""
    if chip.is_host:
        return None
    weights = compiled.program.constant_bytes if constants == "ram" else 0
    return max(chip.static_ram - SYSTEM_RAM - weights - buffer_bytes(compiled), 0)


def check_constants(place: str) -> str:
    """`place`, which must be one of CONSTANTS."""
    if place not in CONSTANTS:
        raise UserError(f"--constants {shown(place)}: unknown; choose one of {', '.join(CONSTANTS)}")
    return place


def fit_chip(compiled: CompiledModel, chip: Chip, constants: str = "flash") -> Fit:
    """Place the arena and size the flash, or refuse with numbers.

    constants: where weights and tables lie: flash (a part of the program), ram (copied there at start), partition (a
    data partition of their own). Unless they must be there, the partition is only made where the flash has room.
    """
    place = check_constants(constants)
    partition = aligned(len(compiled.code.constants_bin), DATA_ALIGNMENT)
    if chip.is_host:
        return Fit(False, 4, 2 * MIB - APP_OFFSET, partition)
    notes: List[str] = []
    psram = _needs_psram(compiled, chip, compiled.program.constant_bytes if place == "ram" else 0, notes)
    weights = compiled.program.constant_bytes
    inside = weights - len(compiled.code.constants_bin) if place == "partition" else weights
    app = aligned(SYSTEM_FLASH + max(inside, 0) * 17 // 16 + buffer_bytes(compiled), APP_ALIGNMENT)
    needed = APP_OFFSET + app + (partition if place == "partition" else 0)
    flash = next((mib for mib in chip.flash_sizes if needed <= mib * MIB), None)
    if flash is None:
        raise UserError(
            f"{weights} bytes of weights and {SYSTEM_FLASH} bytes of program do not fit the "
            f"{chip.flash_sizes[-1]} MiB of flash that {chip.name} modules have; take a smaller model"
        )
    if APP_OFFSET + app + partition > flash * MIB:
        partition = 0
    lines = [f"CONFIG_ESPTOOLPY_FLASHSIZE_{flash}MB=y"]
    if psram:
        lines += ["# The arena does not fit internal RAM.", *chip.psram_lines]
    if place == "partition":
        where = f"{APP_OFFSET + app:#x}, {partition} bytes"
        notes.append(f"the weights lie in the partition 'constants' ({where}); make flash-weights writes them alone")
    if CONSTANTS[place]:
        lines.append(CONSTANTS[place])
    return Fit(psram, flash, app, partition, notes, lines)


def fit_line(compiled: CompiledModel, chip: Chip, fit: Fit) -> str:
    """What the chip has and the model takes of it, for people."""
    if chip.is_host:
        return f"for {chip.cpu}: the host"
    ram = compiled.program.arena_bytes + buffer_bytes(compiled)
    has = "in PSRAM" if fit.psram else f"of about {chip.static_ram - SYSTEM_RAM} bytes of internal RAM"
    return (
        f"for {chip.name} ({chip.cpu}): {ram} bytes {has}; {compiled.program.constant_bytes} bytes of constants, "
        f"a program of up to {fit.app_bytes // KIB} KiB in {fit.flash_mib} MiB of flash"
    )


def _needs_psram(compiled: CompiledModel, chip: Chip, weights: int, notes: List[str]) -> bool:
    """Whether the arena must lie in PSRAM; weights: bytes of them that are copied to internal RAM."""
    arena, buffers = compiled.program.arena_bytes, buffer_bytes(compiled)
    room = chip.static_ram - SYSTEM_RAM
    if weights > room:
        raise UserError(
            f"{weights} bytes of weights do not fit the internal RAM of {chip.name}, which has about {room} bytes for "
            "them; leave them in flash (without --constants ram)"
        )
    if weights + buffers + arena <= room:
        return False
    needed = f"the arena of {arena} bytes and {buffers} bytes of inputs and outputs"
    available = f"{chip.name} has about {room} bytes of internal RAM for them"
    if weights:
        available += f", of which the weights take {weights}"
    if not chip.psram:
        others = "choose a chip with PSRAM (esp32, esp32s2, esp32s3, esp32p4) or a smaller model"
        raise UserError(f"{needed} do not fit: {available} and no PSRAM; {others}")
    if arena + buffers > PSRAM_BYTES:
        raise UserError(f"{needed} do not fit: {available}, and {PSRAM_BYTES} bytes of PSRAM; take a smaller model")
    notes.append(f"{needed} do not fit: {available}. They go to PSRAM, which is slower")
    return True


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
