"""The chips that a project can be made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict

from ..errors import UserError
from ..naming import shown


@dataclass(frozen=True)
class Chip:
    """name: ESP-IDF's target name; cpu: what its cores are, for people."""

    name: str
    cpu: str


CHIPS: Dict[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip("esp32", "2 Xtensa LX6"),
        Chip("esp32s2", "1 Xtensa LX7"),
        Chip("esp32s3", "2 Xtensa LX7 with vector instructions"),
        Chip("esp32c3", "1 RISC-V (RV32IMC)"),
        Chip("esp32c6", "1 RISC-V (RV32IMAC)"),
        Chip("esp32p4", "2 RISC-V (RV32IMAFC) with vector instructions"),
        Chip("host", "this machine"),
    )
}


def check_chip(name: str) -> Chip:
    """The chip called `name`, or a `UserError` that lists the known ones."""
    if name not in CHIPS:
        raise UserError(f"unknown chip '{shown(str(name))}'; known are {', '.join(CHIPS)}")
    return CHIPS[name]
