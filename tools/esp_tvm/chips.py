"""The chips that a project can be made for, and how much of their memory a model can use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from .errors import UserError, did_you_mean
from .naming import shown

KIB = 1024
MIB = 1024 * KIB
# Offsets of data partitions in flash are multiples of this.
DATA_ALIGNMENT = 0x1000


@dataclass(frozen=True)
class Psram:
    """External RAM. mib: MiB that a program can address; mode: its data lines, "quad" 4, "octal" 8, "hex" 16"""

    mib: int
    mode: str

    @property
    def text(self) -> str:
        return f"{self.mib} MB {self.mode} PSRAM"


@dataclass(frozen=True)
class Chip:
    """name: ESP-IDF's target name; cpu: a description of its cores for users.

    static_ram: bytes of internal RAM that a program's static data can take: the size of the data segment in the linker
    scripts of ESP-IDF 5.1 to 6.0 (components/esp_system/ld/<chip>/memory.ld.in) with this project's cache settings.
    It must also hold code that runs from RAM, the system's own data, heap and stacks.
    psram: that of the chip's common modules with external RAM; None: none can be connected. psram_modes: the modes in
    which it can be connected. psram_limit: MiB of it that a program can address.
    flash_sizes: MiB of the flash chips of modules, in ascending order. cores: the number of cores that can run a model.
    idf_since: the first version of ESP-IDF, major and minor, that supports the chip (COMPATIBILITY.md there) and that
    this project was checked with.
    """

    name: str
    cpu: str
    static_ram: int = 0
    psram: Optional[Psram] = None
    psram_modes: Tuple[str, ...] = ()
    psram_limit: int = 0
    flash_sizes: Tuple[int, ...] = (2, 4, 8, 16)
    cores: int = 1
    idf_since: Tuple[int, int] = (5, 1)

    @property
    def is_host(self) -> bool:
        return self.static_ram == 0

    @property
    def is_riscv(self) -> bool:
        return "RISC-V" in self.cpu


CHIPS: Dict[str, Chip] = {
    chip.name: chip
    for chip in (
        # On the ESP32 static data is limited to 160 kB because of the ROM, regardless of its RAM; its address space has
        # room for only 4 MB of a PSRAM chip of 8 MB.
        Chip("esp32", "2 Xtensa LX6", 160 * KIB, Psram(4, "quad"), ("quad",), 4, cores=2),
        Chip("esp32s2", "1 Xtensa LX7", 168 * KIB, Psram(2, "quad"), ("quad",), 8),
        Chip(
            "esp32s3",
            "2 Xtensa LX7 with vector instructions",
            333 * KIB,
            Psram(8, "octal"),
            ("quad", "octal"),
            32,
            cores=2,
        ),
        Chip("esp32c3", "1 RISC-V (RV32IMC)", 313 * KIB),
        Chip("esp32c6", "1 RISC-V (RV32IMAC)", 441 * KIB),
        Chip(
            "esp32p4",
            "2 RISC-V (RV32IMAFC) with vector instructions",
            256 * KIB,
            Psram(32, "hex"),
            ("hex",),
            64,
            (4, 8, 16),
            2,
            (5, 3),
        ),
        Chip("host", "this machine", cores=2),
    )
}


def check_chip(name: str) -> Chip:
    """The chip called `name` (ESP32-S3 is esp32s3), or a `UserError` that lists the known ones."""
    plain = str(name).strip().lower().replace("-", "").replace("_", "")
    if plain not in CHIPS:
        near = did_you_mean(plain, CHIPS)
        raise UserError(f"unknown chip '{shown(str(name))}'; known are {', '.join(CHIPS)}{near}")
    return CHIPS[plain]


def check_cores(chip: Chip, cores: int) -> int:
    """`cores`, 1 or 2, checked against the number of the chip's cores."""
    if cores not in (1, 2):
        raise UserError(f"{cores} cores: a model runs on 1 or 2")
    if cores > chip.cores:
        able = [one.name for one in CHIPS.values() if one.cores >= cores and not one.is_host]
        raise UserError(f"{chip.name} has one core for a model; leave out --cores 2, or choose {', '.join(able)}")
    return cores


def aligned(size: int, alignment: int) -> int:
    """`size` rounded up to a multiple of `alignment`."""
    return (size + alignment - 1) // alignment * alignment
