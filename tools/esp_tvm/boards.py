"""Boards and their memory: known ones by name, others described by their memory.

Only the standard library: the steps of `make` read this before set-up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Dict, List, Optional

from .chips import CHIPS, KIB, MIB, Chip, Psram, check_chip
from .errors import UserError, did_you_mean
from .naming import shown


@dataclass(frozen=True)
class Board:
    """What a board has.

    name: the manufacturer's name in lower case; "" for one that is only described by its memory
    flash_mib: MiB of its flash chip; None: as much as the program needs
    psram: its external RAM, limited to what the chip can address; None: it has none
    qio: whether flash is read over four data lines; otherwise over two, at half the speed
    internal: bytes of internal RAM that a model may take; None: what the system is expected to leave
    before_revision_3: whether its chip is an ESP32-P4 of a revision before 3.0; later ones need another program
    assumed: whether its PSRAM was not given and that of the chip's common modules is assumed
    source: where these facts are documented
    """

    name: str
    chip: str
    flash_mib: Optional[int] = None
    psram: Optional[Psram] = None
    qio: bool = True
    internal: Optional[int] = None
    before_revision_3: bool = False
    assumed: bool = False
    source: str = ""

    @property
    def text(self) -> str:
        """`esp32-s3-devkitc-1-n8r2: 8 MB flash, 2 MB quad PSRAM`."""
        flash = "flash as needed" if self.flash_mib is None else f"{self.flash_mib} MB flash"
        psram = "no PSRAM" if self.psram is None else self.psram.text + (" (assumed)" if self.assumed else "")
        return f"{self.name or self.chip}: {flash}, {psram}"


_KITS = "https://docs.espressif.com/projects/esp-dev-kits/en/latest/"
_S3_WROOM = (
    "https://www.espressif.com/sites/default/files/documentation/esp32-s3-wroom-1_wroom-1u_datasheet_en.pdf, table 1"
)
_SEEED = "https://wiki.seeedstudio.com/"
_QUAD_2, _QUAD_4 = Psram(2, "quad"), Psram(4, "quad")
_OCTAL_8, _OCTAL_16, _HEX_32 = Psram(8, "octal"), Psram(16, "octal"), Psram(32, "hex")

# Modules of the ESP32 with 8 MB of PSRAM are here with the 4 that its address space holds.
BOARDS: Dict[str, Board] = {
    board.name: board
    for board in (
        Board("esp32-devkitc", "esp32", 4, source=_KITS + "esp32/esp32-devkitc/user_guide.html (ESP32-WROOM-32E)"),
        Board("esp32-devkitc-ve", "esp32", 4, _QUAD_4, source=_KITS + "esp32/esp32-devkitc (ESP32-WROVER-E)"),
        Board("esp-wrover-kit", "esp32", 4, _QUAD_4, source=_KITS + "esp32/esp-wrover-kit (ESP32-WROVER-E)"),
        Board("esp-eye", "esp32", 4, _QUAD_4, source="https://www.espressif.com/en/products/devkits/esp-eye/overview"),
        # Made by several manufacturers; on some, only two data lines of the flash chip are known to be connected.
        Board("esp32-cam", "esp32", 4, _QUAD_4, False, source="https://docs.ai-thinker.com/en/esp32-cam"),
        Board("esp32-s2-saola-1m", "esp32s2", 4, source=_KITS + "esp32s2/esp32-s2-saola-1 (ESP32-S2-WROOM)"),
        Board("esp32-s2-saola-1r", "esp32s2", 4, _QUAD_2, source=_KITS + "esp32s2/esp32-s2-saola-1 (ESP32-S2-WROVER)"),
        Board("esp32-s2-devkitm-1-n4r2", "esp32s2", 4, _QUAD_2, source=_KITS + "esp32s2/esp32-s2-devkitm-1"),
        Board("esp32-s3-devkitc-1-n8", "esp32s3", 8, source=_S3_WROOM),
        Board("esp32-s3-devkitc-1-n8r2", "esp32s3", 8, _QUAD_2, source=_S3_WROOM),
        Board("esp32-s3-devkitc-1-n8r8", "esp32s3", 8, _OCTAL_8, source=_S3_WROOM),
        Board("esp32-s3-devkitc-1-n16r8", "esp32s3", 16, _OCTAL_8, source=_S3_WROOM),
        Board("esp32-s3-devkitm-1", "esp32s3", 8, source=_KITS + "esp32s3/esp32-s3-devkitm-1 (ESP32-S3-MINI-1-N8)"),
        Board(
            "esp32-s3-eye", "esp32s3", 8, _OCTAL_8, source="https://github.com/espressif/esp-who, docs of ESP32-S3-EYE"
        ),
        Board("esp32-s3-box-3", "esp32s3", 16, _OCTAL_16, source="https://github.com/espressif/esp-box, hardware"),
        Board("xiao-esp32s3", "esp32s3", 8, _OCTAL_8, source=_SEEED + "xiao_esp32s3_getting_started"),
        Board("esp32-c3-devkitm-1", "esp32c3", 4, source=_KITS + "esp32c3/esp32-c3-devkitm-1"),
        Board("esp32-c3-devkitc-02", "esp32c3", 4, source=_KITS + "esp32c3/esp32-c3-devkitc-02"),
        Board("xiao-esp32c3", "esp32c3", 4, source=_SEEED + "XIAO_ESP32C3_Getting_Started"),
        Board("esp32-c6-devkitc-1", "esp32c6", 8, source=_KITS + "esp32c6/esp32-c6-devkitc-1"),
        Board("esp32-c6-devkitm-1", "esp32c6", 4, source=_KITS + "esp32c6/esp32-c6-devkitm-1"),
        Board("xiao-esp32c6", "esp32c6", 4, source=_SEEED + "xiao_esp32c6_getting_started"),
        Board(
            "esp32-p4-function-ev-board",
            "esp32p4",
            16,
            _HEX_32,
            before_revision_3=True,
            source=_KITS + "esp32p4/esp32-p4-function-ev-board",
        ),
        Board("esp32-p4-eye", "esp32p4", 16, _HEX_32, before_revision_3=True, source=_KITS + "esp32p4/esp32-p4-eye"),
    )
}

_MODES = {"quad": "quad", "oct": "octal", "octal": "octal", "hex": "hex"}
# Percent by which a program may take longer for the least arena, unless others are given.
DEFAULT_SLOWDOWN = "5"
_UNITS = {"": 1, "b": 1, "k": KIB, "kb": KIB, "kib": KIB, "m": MIB, "mb": MIB, "mib": MIB}


def default_board(chip: Chip) -> Board:
    """The assumed board when only the chip is known. Flash of an ESP32 is read over two lines: its boards differ too
    much to assume more."""
    return Board("", chip.name, None, chip.psram, chip.name != "esp32", assumed=chip.psram is not None)


def check_board(name: str) -> Board:
    """The board called `name` (upper case, blanks and underscores do not matter)."""
    plain = re.sub(r"[\s_]+", "-", str(name).strip().lower())
    if plain not in BOARDS:
        near = did_you_mean(plain, BOARDS)
        raise UserError(
            f"unknown board '{shown(str(name))}'{near or '; known are ' + ', '.join(BOARDS)} "
            "(for another board give the chip, --flash and --psram)"
        )
    return BOARDS[plain]


def choose_board(
    target: Optional[str] = None,
    board: Optional[str] = None,
    flash: Optional[str] = None,
    psram: Optional[str] = None,
    internal: Optional[str] = None,
) -> Board:
    """The board that the options describe.

    target: a chip; needed if `board`, a name of BOARDS, is not given. The other arguments override the board's values:
    flash: `4MB`; psram: `8MB:octal`, `2MB:quad`, `32MB:hex` or `none`; internal: bytes of internal RAM for the model,
    `200kB`
    """
    if not target and not board:
        raise UserError("neither a chip nor a board is given; give --target or --board")
    chosen = check_board(board) if board else default_board(check_chip(target or ""))
    chip = CHIPS[chosen.chip]
    if target and check_chip(target) is not chip:
        raise UserError(f"{chosen.name} has the chip {chip.name}, not {check_chip(target).name}; leave one out")
    if chip.is_host:
        for name, value in (("flash", flash), ("psram", psram), ("internal", internal)):
            if value:
                raise UserError(f"--{name} {shown(value)}: the host is no board; choose a chip")
        return chosen
    if flash:
        chosen = replace(chosen, flash_mib=_flash(flash, chip))
    if psram:
        chosen = replace(chosen, psram=_psram(psram, chip), assumed=False)
    if internal:
        chosen = replace(chosen, internal=_internal(internal, chip))
    return chosen


def check_arena(text: str) -> str:
    """`text`, which must be auto, least or a number of bytes."""
    if text not in ("auto", "least") and not re.fullmatch(r"\d{1,9}", text):
        raise UserError(f"--arena {shown(text)}: give auto, least, or a number of bytes")
    return text


def check_slowdown(text: str, arena: str) -> float:
    """The part of its time by which the program may take longer for the least arena, of `5`, `2.5` or `5%`; "": the
    default."""
    if text and arena != "least":
        raise UserError(f"--slowdown {shown(text)}: is for the least arena alone; the arena is {shown(arena)}")
    if not re.fullmatch(r"\d{1,4}(\.\d{1,3})?%?", text or DEFAULT_SLOWDOWN):
        raise UserError(f"--slowdown {shown(text)}: give a percentage from 0 to 9999, like 5 or 2.5")
    return float((text or DEFAULT_SLOWDOWN).rstrip("%")) / 100


def psram_lines(chip: Chip, psram: Psram) -> List[str]:
    """The sdkconfig lines that turn the PSRAM on, at the highest speed that every module of the chip supports."""
    lines = ["CONFIG_SPIRAM=y", "CONFIG_SPIRAM_ALLOW_BSS_SEG_EXTERNAL_MEMORY=y"]
    if chip.name == "esp32s3":
        lines.append(f"CONFIG_SPIRAM_MODE_{'OCT' if psram.mode == 'octal' else 'QUAD'}=y")
    if chip.name in ("esp32s2", "esp32s3"):
        lines.append("CONFIG_SPIRAM_SPEED_80M=y")
    if chip.name == "esp32p4":
        # Before ESP-IDF 6.0 the default is 20 MHz, and 200 MHz are hidden behind the first option.
        lines += ["CONFIG_IDF_EXPERIMENTAL_FEATURES=y", "CONFIG_SPIRAM_SPEED_200M=y"]
    return lines


def psram_constants_line(chip: Chip) -> str:
    """The sdkconfig line by which ESP-IDF copies all constant data to PSRAM at start; "" where it cannot.

    On the ESP32-P4 the program goes there, too.
    """
    lines = {"esp32p4": "CONFIG_SPIRAM_XIP_FROM_PSRAM=y"}
    lines.update(dict.fromkeys(("esp32s2", "esp32s3"), "CONFIG_SPIRAM_RODATA=y"))
    return lines.get(chip.name, "")


def known_to_read_constants_from_psram(board: Board) -> bool:
    """Whether the board has PSRAM (not only assumed) and its chip can read constant data from there."""
    return board.psram is not None and not board.assumed and bool(psram_constants_line(CHIPS[board.chip]))


def revision_lines(board: Board) -> List[str]:
    """The sdkconfig line for an ESP32-P4 of a revision before 3.0. ESP-IDF from 5.5.3 on builds for 3.0 (or 3.1) and
    later without it, and what it builds does not start on an earlier one; 5.3 builds for these alone and has no such
    option."""
    return ["CONFIG_ESP32P4_SELECTS_REV_LESS_V3=y"] if board.before_revision_3 else []


def flash_lines(board: Board) -> List[str]:
    """The sdkconfig lines for the speed of the flash chip; none if ESP-IDF's default is the speed known to work."""
    if not board.qio:
        return []
    lines = ["CONFIG_ESPTOOLPY_FLASHMODE_QIO=y"]
    # For the other chips 80 MHz is the default.
    return [*lines, "CONFIG_ESPTOOLPY_FLASHFREQ_80M=y"] if board.chip == "esp32" else lines


def bytes_of(text: str, option: str) -> int:
    """Bytes of `4MB`, `512kB` (of 1024), `300000`."""
    match = re.fullmatch(r"(\d{1,12})\s*([a-z]*)", str(text).strip().lower())
    if not match or match.group(2) not in _UNITS:
        raise UserError(f"{option} {shown(str(text))}: is no size; write 4MB, 512kB or a number of bytes")
    return int(match.group(1)) * _UNITS[match.group(2)]


def _mib(text: str, option: str) -> int:
    size = bytes_of(text, option)
    if size == 0 or size % MIB:
        raise UserError(f"{option} {shown(str(text))}: give whole megabytes, like 4MB")
    return size // MIB


def _flash(text: str, chip: Chip) -> int:
    mib = _mib(text, "--flash")
    if mib not in chip.flash_sizes:
        sizes = ", ".join(f"{size}MB" for size in chip.flash_sizes)
        raise UserError(f"--flash {shown(text)}: flash of {chip.name} modules is one of {sizes}")
    return mib


def _psram(text: str, chip: Chip) -> Optional[Psram]:
    if text.strip().lower() == "none":
        return None
    if chip.psram is None:
        able = ", ".join(one.name for one in CHIPS.values() if one.psram)
        raise UserError(f"--psram {shown(text)}: {chip.name} cannot have PSRAM; {able} can")
    size, _, word = text.partition(":")
    mib, mode = _mib(size, "--psram"), _MODES.get(word.strip().lower())
    if not word:
        # Modules of the ESP32-S3 with 2 MB (R2) have four data lines, those with more (R8, R16) eight.
        mode = "quad" if mib <= 2 and "quad" in chip.psram_modes else chip.psram.mode
    if mode not in chip.psram_modes:
        modes = " or ".join(f"{mib}MB:{one}" for one in chip.psram_modes)
        raise UserError(f"--psram {shown(text)}: {chip.name} has no such PSRAM; write {modes}, or none")
    return Psram(min(mib, chip.psram_limit), mode)


def _internal(text: str, chip: Chip) -> int:
    size = bytes_of(text, "--internal")
    if not 0 < size <= chip.static_ram:
        raise UserError(
            f"--internal {shown(text)}: static data of a program for {chip.name} can take 1 to {chip.static_ram} bytes"
        )
    return size
