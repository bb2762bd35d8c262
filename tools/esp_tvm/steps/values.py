"""What the variables of make may be, as far as the word itself tells: what no goal could mean is refused in every goal.

What hangs on the model, on its folder or on what was done before is looked at by the steps (settings.py).
"""

from __future__ import annotations

import shlex
import shutil
from typing import Dict, List, Mapping, Tuple

from ..boards import bytes_of, check_arena, check_board, check_slowdown, choose_board
from ..chips import check_chip
from ..errors import UserError, did_you_mean
from .variables import BOARD_VARIABLES, DEFAULT_CHIP, PORT_TYPES, in_variables
from .words import fail

PORT_VARIABLES = ("IO", "INPUT_TYPE", "OUTPUT_TYPE", "INPUT_LAYOUT", "OUTPUT_LAYOUT")
# Variables that are one of a few words, and what is said of another.
_WORDS = {
    "CORES": (("1", "2"), "a model runs on 1 or 2"),
    "PROFILE": (("0", "1"), "1 makes the program print the time of every step, 0 does not"),
    "FORM": (("component", "library"), "give component (for ESP-IDF) or library (PlatformIO, Arduino, CMake)"),
    "DOCKER": (("0", "1"), "1 does it in the image of make image, 0 does not"),
    "EMULATOR": (("esp-idf", "qemu-riscv"), "give esp-idf or qemu-riscv"),
}


def chip_of(target: str, board: str) -> str:
    """The chip that TARGET names, or BOARD where it names none. Of both, TARGET counts."""
    try:
        if board and not target:
            return check_board(board).chip
    except UserError as error:
        fail(f"BOARD={board}: {in_variables(error)}")
    try:
        return check_chip(target or DEFAULT_CHIP).name
    except UserError as error:
        fail(f"TARGET={target} is not a chip we know: {error}")


def check_hardware(chip: str, values: Dict[str, str]) -> None:
    """Refuse `BOARD_VARIABLES` that no board with the chip can have."""
    try:
        choose_board(chip, **{name.lower(): value for name, value in values.items()})
    except UserError as error:
        text = in_variables(error)
        named = text.startswith(tuple(f"{name}=" for name in values))
        fail(text if named else " ".join(f"{name}={value}" for name, value in values.items()) + f": {text}")


def check_word(name: str, value: str) -> str:
    """`value`, which must be one of the words that the variable `name` can be; "" where it is not set."""
    words, what = _WORDS[name]
    if value and value not in words:
        fail(f"{name}={value}: {what}{did_you_mean(value, words)}")
    return value


def words_of(name: str, text: str) -> List[str]:
    """The words of a variable that holds several."""
    try:
        return shlex.split(text)
    except ValueError as error:
        fail(f"{name}={text}: {error}")


def check_compiler(compiler: str) -> None:
    """CC must be a program."""
    words = words_of("CC", compiler)
    if words and shutil.which(words[0]) is None:
        fail(f"CC={compiler} is no program on PATH; name a C compiler of this computer, or leave CC out")


def port_words(given: Mapping[str, str]) -> Tuple[Tuple[str, List[str]], ...]:
    """(option of the export, its values) for what inputs and outputs are on the board. given: `PORT_VARIABLES`"""
    from ..port_options import read_port_options

    both = given["IO"]
    if both not in ("", *PORT_TYPES):
        near = did_you_mean(both, PORT_TYPES)
        fail(f"IO={both} is none of {', '.join(PORT_TYPES)}{near}; INPUT_TYPE and OUTPUT_TYPE are set each alone")
    types = dict(zip(PORT_VARIABLES[1:3], PORT_TYPES.get(both, ("", ""))))
    words = [words_of(name, given[name] or types.get(name, "")) for name in PORT_VARIABLES[1:]]
    try:
        read_port_options(*words)
    except UserError as error:
        fail(in_variables(error))
    return tuple((f"--{name.lower()}", values) for name, values in zip(PORT_VARIABLES[1:], words))


def check_values(variables: Mapping[str, str]) -> None:
    """Refuse what no goal could mean. variables: those that were given, of any goal"""
    given = {name: value for name, value in variables.items() if value}
    hardware = {name: given[name] for name in BOARD_VARIABLES if name in given}
    if "TARGET" in given or "BOARD" in given:
        check_hardware(chip_of(given.get("TARGET", ""), given.get("BOARD", "")), hardware)
    try:
        _check_amounts(given)
    except UserError as error:
        fail(in_variables(error))
    for name in _WORDS:
        check_word(name, given.get(name, ""))
    if any(name in given for name in PORT_VARIABLES):
        port_words({name: given.get(name, "") for name in PORT_VARIABLES})
    for name in given:
        if name.endswith("_OPTIONS"):
            words_of(name, given[name])
    if "CC" in given:
        check_compiler(given["CC"])


def _check_amounts(given: Mapping[str, str]) -> None:
    for name in ("FLASH", "INTERNAL"):
        if name in given:
            bytes_of(given[name], f"--{name.lower()}")
    size = given.get("PSRAM", "none").partition(":")[0]
    if size.strip().lower() != "none":
        bytes_of(size, "--psram")
    check_arena(given.get("ARENA", "auto"))
    check_slowdown(given.get("SLOWDOWN", ""), "least")
