"""Whether a model fits a chip: internal RAM or PSRAM, flash, partitions. Decided at export, not on the board."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List

import numpy as np

from ..compile.compiled import CompiledModel
from ..errors import UserError
from .chips import KIB, MIB, Chip

# What the rest of a program needs, generously: FreeRTOS, drivers, code in RAM, stacks, some heap; and code in flash.
SYSTEM_RAM = 96 * KIB
SYSTEM_FLASH = 512 * KIB
# PSRAM chips on common modules have 2 to 32 MiB; the system's share is small.
PSRAM_BYTES = 2 * MIB
# The first partition of the application starts here; application partitions are aligned to this.
APP_OFFSET = 0x10000
APP_ALIGNMENT = 0x10000


@dataclass(frozen=True)
class Fit:
    """What a project for a chip is set to.

    psram: the arena lies in PSRAM; flash_mib: the flash chip that is needed; app_bytes: size of the app partition
    notes: lines for the user; sdkconfig: lines for sdkconfig.defaults.<chip>
    """

    psram: bool
    flash_mib: int
    app_bytes: int
    notes: List[str] = field(default_factory=list)
    sdkconfig: List[str] = field(default_factory=list)


def buffer_bytes(compiled: CompiledModel) -> int:
    """Inputs and outputs of the application: static buffers in main/, in the same memory as the arena."""
    ports = [*compiled.inputs, *compiled.outputs]
    return sum(int(np.prod(p.shape, dtype=np.int64)) * np.dtype(p.dtype).itemsize for p in ports)


def fit_chip(compiled: CompiledModel, chip: Chip) -> Fit:
    """Place the arena and size the flash, or refuse with numbers."""
    if chip.is_host:
        return Fit(False, 4, 2 * MIB - APP_OFFSET)
    arena, buffers = compiled.arena_bytes, buffer_bytes(compiled)
    room = chip.static_ram - SYSTEM_RAM - buffers
    notes: List[str] = []
    psram = arena > room
    if psram:
        needed = f"the arena of {arena} bytes and {buffers} bytes of inputs and outputs"
        available = f"{chip.name} has about {chip.static_ram - SYSTEM_RAM} bytes of internal RAM for them"
        if not chip.psram:
            others = "choose a chip with PSRAM (esp32, esp32s2, esp32s3, esp32p4) or a smaller model"
            raise UserError(f"{needed} do not fit: {available} and no PSRAM; {others}")
        if arena + buffers > PSRAM_BYTES:
            raise UserError(f"{needed} do not fit: {available}, and {PSRAM_BYTES} bytes of PSRAM; take a smaller model")
        notes.append(f"{needed} do not fit: {available}. They go to PSRAM, which is slower")
    constants = compiled.weight_bytes
    app = _aligned(SYSTEM_FLASH + constants + constants // 16 + buffers)
    flash = next((mib for mib in chip.flash_sizes if APP_OFFSET + app <= mib * MIB), None)
    if flash is None:
        raise UserError(
            f"{constants} bytes of weights and {SYSTEM_FLASH} bytes of program do not fit the "
            f"{chip.flash_sizes[-1]} MiB of flash that {chip.name} modules have; take a smaller model"
        )
    lines = [f"CONFIG_ESPTOOLPY_FLASHSIZE_{flash}MB=y"]
    if psram:
        lines += ["# The arena does not fit internal RAM.", *chip.psram_lines]
    return Fit(psram, flash, app, notes, lines)


def _aligned(size: int) -> int:
    return (size + APP_ALIGNMENT - 1) // APP_ALIGNMENT * APP_ALIGNMENT


def partition_table(fit: Fit) -> str:
    """partitions.csv with an application partition of the size that the model needs."""
    return (
        "# Made by the export step: factory has room for the model's weights and for the program around it.\n"
        "# Name,   Type, SubType, Offset,  Size\n"
        "nvs,      data, nvs,     0x9000,  0x6000\n"
        "phy_init, data, phy,     0xf000,  0x1000\n"
        f"factory,  app,  factory, {APP_OFFSET:#x}, {fit.app_bytes:#x}\n"
    )
