"""How a camera or a microphone is connected: the pins of each board, as the header that an application includes.

An application that includes camera_pins.h or microphone_pins.h and brings no such file gets it from the export, for the
board or, where the board has no such part, with pins of the chip that a part can be connected to. In the same way it
gets camera_loop.h, which calls it with each frame of the camera, and includes camera_pins.h.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Set, Tuple

from ..boards import Board
from ..chips import CHIPS
from ..errors import UserError
from ..naming import shown

Numbers = Tuple[int, ...]

CAMERA_LOOP = "camera_loop.h"

# soc_caps.h of ESP-IDF 5.1 to 6.0: SOC_GPIO_VALID_GPIO_MASK.
GPIOS: Dict[str, Set[int]] = {
    "esp32": set(range(40)) - {24, 28, 29, 30, 31},
    "esp32s2": set(range(47)) - {22, 23, 24, 25},
    "esp32s3": set(range(49)) - {22, 23, 24, 25},
    "esp32c3": set(range(22)),
    "esp32c6": set(range(31)),
    "esp32p4": set(range(55)),
}


@dataclass(frozen=True)
class Part:
    """A kind of part that an application uses.

    name: camera or microphone; what: for users
    fields: of the C struct, in the order of the numbers
    known: board -> its numbers, -1 for a pin that is not connected
    wiring: chip -> (numbers that a part can be connected to, where they are from); a chip without is refused
    taken: boards that have no such part and no free pins for it that we know of
    driver: why other chips are refused
    """

    name: str
    what: str
    fields: Tuple[str, ...]
    known: Mapping[str, Numbers]
    wiring: Mapping[str, Tuple[Numbers, str]]
    taken: Tuple[str, ...]
    driver: str

    @property
    def header(self) -> str:
        return f"{self.name}_pins.h"


# camera_pinout.h of the example of espressif/esp32-camera, who_camera.h of espressif/esp-who: D7 is Y9 there.
_S3_EYE = (-1, -1, 15, 4, 5, 16, 17, 18, 12, 10, 8, 9, 11, 6, 7, 13)
_WROVER_KIT = (-1, -1, 21, 26, 27, 35, 34, 39, 36, 19, 18, 5, 4, 25, 23, 22)
_KALUGA = (-1, -1, 1, 8, 7, 38, 21, 40, 39, 42, 41, 37, 36, 2, 3, 33)
CAMERA = Part(
    "camera",
    "a camera",
    tuple("pwdn reset xclk sccb_sda sccb_scl d7 d6 d5 d4 d3 d2 d1 d0 vsync href pclk".split()),
    {
        "esp-eye": (-1, -1, 4, 18, 23, 36, 37, 38, 39, 35, 14, 13, 34, 5, 27, 25),
        "esp-wrover-kit": _WROVER_KIT,
        "esp32-cam": (32, -1, 0, 26, 27, 35, 34, 39, 36, 21, 19, 18, 5, 25, 23, 22),
        "esp32-s3-eye": _S3_EYE,
        "xiao-esp32s3": (-1, -1, 10, 40, 39, 48, 11, 12, 14, 16, 18, 17, 15, 38, 47, 13),
    },
    {
        "esp32": (_WROVER_KIT, "as on esp-wrover-kit"),
        "esp32s2": (_KALUGA, "as on ESP32-S2-Kaluga-1"),
        "esp32s3": (_S3_EYE, "as on esp32-s3-eye"),
    },
    ("esp32-s3-box-3",),
    "its driver, espressif/esp32-camera, knows esp32, esp32s2 and esp32s3",
)

# BCLK, WS, DIN of microphones with I2S (INMP441, MSM261, ICS-43434, SPH0645).
MICROPHONE = Part(
    "microphone",
    "an I2S microphone",
    ("bclk", "ws", "din"),
    {"esp-eye": (26, 32, 33), "esp32-s3-eye": (41, 42, 2)},
    {
        "esp32": ((26, 25, 33), "on the headers of esp32-devkitc"),
        "esp32s2": ((4, 5, 6), "on the headers of esp32-s2-saola-1m"),
        "esp32s3": ((41, 42, 2), "as on esp32-s3-eye"),
        "esp32c3": ((4, 5, 6), "on the headers of esp32-c3-devkitm-1"),
        "esp32c6": ((18, 19, 20), "on the headers of esp32-c6-devkitc-1"),
        "esp32p4": ((20, 21, 22), "on header J1 of esp32-p4-function-ev-board"),
    },
    # A codec, a PDM microphone, or a header that these pins are not on.
    ("esp-wrover-kit", "esp32-cam", "esp32-s3-box-3", "esp32-p4-eye", "xiao-esp32s3"),
    "",
)


def camera_loop(app: Path) -> Dict[str, str]:
    """{path in the project: text} of camera_loop.h where the application `app` includes it and does not bring it."""
    texts = _texts(app)
    if CAMERA_LOOP in texts or not _includes(texts, CAMERA_LOOP):
        return {}
    return {f"main/{CAMERA_LOOP}": (Path(__file__).parent / CAMERA_LOOP).read_text(encoding="utf-8")}


def check_pins(app: Path, board: Board) -> List[Tuple[str, str, str]]:
    """(path in the project, text, a line for the user) of each header of pins that the application `app` includes and
    does not bring. A part that the board's chip cannot have, and a pin that it does not have, are errors."""
    texts = {**_texts(app), **camera_loop(app)}
    headers = []
    for part in (CAMERA, MICROPHONE):
        if not _includes(texts, part.header):
            continue
        if board.chip not in part.wiring and not CHIPS[board.chip].is_host:
            raise UserError(
                f"{app}: takes {part.what}, which {board.chip} cannot have: {part.driver}; take one of these"
            )
        if part.header in texts:
            _check_own(app / "main" / part.header, texts[part.header], board.chip)
        elif not CHIPS[board.chip].is_host:
            headers.append((f"main/{part.header}", *_header(part, board, app)))
    return headers


def _texts(app: Path) -> Dict[str, str]:
    """{name: text} of the application's C files."""
    files = [file for file in sorted((app / "main").rglob("*.[ch]*")) if file.is_file()]
    return {file.name: file.read_text("utf-8", "replace") for file in files}


def _includes(texts: Mapping[str, str], header: str) -> bool:
    return any(re.search(rf'(?m)^\s*#\s*include\s+"{header}"', text) for text in texts.values())


def _check_own(path: Path, text: str, chip: str) -> None:
    """Every pin that a header of the application names exists on the chip."""
    found = re.findall(r"\bGPIO_NUM_(\d+)|\.\w+\s*=\s*(\d+)\b", text)
    numbers = [int(a or b) for a, b in found]
    missing = next((number for number in numbers if number not in GPIOS.get(chip, numbers)), None)
    if missing is not None:
        raise UserError(
            f"{path}: GPIO {missing} does not exist on the {chip}, which has 0 to {max(GPIOS[chip])}; put the pins of "
            "your board there, or remove the file: then those of BOARD= are taken"
        )


def _header(part: Part, board: Board, app: Path) -> Tuple[str, str]:
    """(text, line for the user) of the part's header for the board."""
    numbers: Optional[Numbers] = part.known.get(board.name)
    where = f"as built on {board.name}"
    if numbers is None and board.name in part.taken:
        raise UserError(
            f"{app}: takes {part.what}, whose pins on {board.name} are not known; put main/{part.header} into the "
            "application, or choose another BOARD"
        )
    if numbers is None:
        numbers, where = part.wiring[board.chip]
    if board.name in part.known:
        line = f"pins of the {part.name}: those of {board.name}"
    else:
        used = ", ".join(f"{name.upper()} {number}" for name, number in zip(part.fields, numbers) if number >= 0)
        line = f"note: connect {part.what} to GPIO {used} ({where}), or change main/{part.header}; BOARD= names a board"
    return _text(part, numbers, where), line


def _text(part: Part, numbers: Numbers, where: str) -> str:
    guard, macro = f"{part.header.upper().replace('.', '_')}", f"{part.name.upper()}_PINS"
    if part is CAMERA:
        values = [f".pin_{name} = {number}" for name, number in zip(part.fields, numbers)]
        rows = [", ".join(values[i : i + 4]) for i in range(0, len(values), 4)]
        body = [f"#define {macro} \\", *(f"    {row}, \\" for row in rows[:-1]), f"    {rows[-1]}"]
        include = []
    else:
        bclk, ws, din = (f"GPIO_NUM_{number}" for number in numbers)
        body = [f"#define {macro} \\", "    { \\", f"        .mclk = I2S_GPIO_UNUSED, .bclk = {bclk}, .ws = {ws}, \\"]
        body += [f"        .dout = I2S_GPIO_UNUSED, .din = {din}, \\", "    }"]
        include = ['#include "driver/gpio.h"', ""]
    comment = f"/* How {part.what} is connected: {shown(where)}. For another board put its pins here. */"
    return "\n".join([comment, f"#ifndef {guard}", f"#define {guard}", "", *include, *body, "", "#endif", ""])
