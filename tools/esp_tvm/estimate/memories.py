"""How fast the chips run and fetch what is not in internal RAM. All numbers of the estimate but those of instructions.

A cache fetches lines. A line takes `wait` nanoseconds before its first byte, and `byte` nanoseconds for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict

from ..boards import Board
from ..chips import KIB

# Cycles for an instruction of compiled C and of the assembly while data is in internal RAM: a taken branch and a load
# whose value is needed at once take more than one. From published times of ESP-NN's person detection (MobileNetV1 0.25,
# 96x96) and its instructions counted in an emulator: 426 ms of 160 MHz for 65.3 million on the ESP32-C3, 1.04; 380 ms
# of 240 MHz for the same C on the ESP32, 1.0 to 1.4.
CYCLES_PER_INSTRUCTION = 1.1


@dataclass(frozen=True)
class Clock:
    """mhz: of the core, as the project sets it; family: whose instructions were counted, a key of kernel_costs.json

    cache: bytes that hold data from flash and PSRAM; line: bytes that are fetched together (ESP-IDF's default, or what
    the project's sdkconfig.defaults say)
    """

    mhz: int
    family: str
    cache: int
    line: int


CLOCKS: Dict[str, Clock] = {
    "esp32": Clock(240, "xtensa", 32 * KIB, 32),
    "esp32s2": Clock(240, "xtensa", 8 * KIB, 32),
    "esp32s3": Clock(240, "xtensa", 64 * KIB, 64),
    "esp32c3": Clock(160, "riscv", 16 * KIB, 32),
    "esp32c6": Clock(160, "riscv", 32 * KIB, 32),
    "esp32p4": Clock(400, "riscv", 256 * KIB, 64),
}


@dataclass(frozen=True)
class Lines:
    """How long the lines of a cache take: wait, byte in nanoseconds; source: where that comes from."""

    wait: float
    byte: float
    source: str

    def nanoseconds(self, size: float, line: int) -> float:
        """The time that `size` bytes take, in whole lines."""
        return -(-size // line) * (self.wait + line * self.byte)


# What controller and cache add to the protocol; what remains of the wait that was measured for octal PSRAM.
_CONTROLLER = 150.0
_PROTOCOL = (
    f"SPI protocol: clocks of command, address and dummy, and {_CONTROLLER:.0f} ns for the controller; not measured"
)
FLASH_QIO_80 = Lines(20 * 12.5 + _CONTROLLER, 25.0, _PROTOCOL)
FLASH_DIO_80 = Lines(24 * 12.5 + _CONTROLLER, 50.0, _PROTOCOL)
FLASH_DIO_40 = Lines(24 * 25.0 + _CONTROLLER, 100.0, _PROTOCOL)
PSRAM_QUAD_80 = Lines(14 * 12.5 + _CONTROLLER, 25.0, _PROTOCOL)
PSRAM_QUAD_40 = Lines(14 * 25.0 + _CONTROLLER, 50.0, _PROTOCOL)
PSRAM_OCTAL_80 = Lines(
    328.0,
    6.8,
    "measured on an ESP32-S3 N8R8, copies with lines of 16, 32 and 64 bytes: 37.0, 58.1 and 84.2 MB/s "
    "(github.com/project-x51/esp32-s3-memorycopy, issue 2)",
)
PSRAM_HEX_200 = Lines(_CONTROLLER, 1.25, "16 lines, both edges of 200 MHz, and the controller's wait; not measured")


def flash_lines_of(board: Board) -> Lines:
    """How the flash chip of a board is read, by the options that the export writes."""
    if board.qio:
        return FLASH_QIO_80
    return FLASH_DIO_40 if board.chip == "esp32" else FLASH_DIO_80


def psram_lines_of(board: Board) -> Lines:
    """The same for its PSRAM. A written line counts as one that is read (on the ESP32-S3 it took 0.4 to 0.7)."""
    mode = board.psram.mode if board.psram is not None else "quad"
    if mode == "quad":
        return PSRAM_QUAD_40 if board.chip == "esp32" else PSRAM_QUAD_80
    return PSRAM_OCTAL_80 if mode == "octal" else PSRAM_HEX_200
