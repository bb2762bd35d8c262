"""The variables of make: which there are, and what is said of one that there is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterable, List

from ..boards import BOARDS, DEFAULT_SLOWDOWN
from ..chips import CHIPS
from ..errors import UserError, did_you_mean
from .words import say, say_error

DEFAULT_CHIP = "esp32s3"
# What a board is told by, in place of or beside TARGET.
BOARD_VARIABLES = ("BOARD", "FLASH", "PSRAM", "INTERNAL")
_TWO_CORES = [chip.name for chip in CHIPS.values() if chip.cores > 1 and not chip.is_host]
_BOARD_EXAMPLES = ", ".join(name for name in BOARDS if name.startswith("esp32-s3-devkitc-1-n8r"))

HELP = f"""
Variables
  MODEL            the float ONNX model, or what onnx_from.py converts to one (.h5 .keras .tflite .pt2 .espdl ...);
                   where it is not given, the last one
  CALIB            samples to calibrate with: .npy (N samples); .npz or a folder where there are several inputs;
                   an .espdl and a quantized ONNX model need none
  INPUT            one sample, or many for run, report and evaluate (default the first sample of CALIB)
  LABELS           a label for each sample of evaluate's INPUT: .npy of classes, or of what the output should be
  BASE             another exported project (OUT or its new_project), to set beside this one in report
  TARGET           {", ".join(CHIPS)} (default {DEFAULT_CHIP})
  BOARD            the board in place of its chip: {_BOARD_EXAMPLES}, ...
                   (docs/choosing-a-chip.md has all)
  FLASH, PSRAM, INTERNAL
                   what another board has: FLASH=4MB, PSRAM=2MB:quad, 8MB:octal or none, INTERNAL=200kB for the model
  ARENA            bytes that the activations may take, or least: layers run together in strips of rows where they
                   would take more (default auto: the internal RAM of the board)
  SLOWDOWN         with ARENA=least: by how many percent the program may take longer than the fastest one without
                   strips, by the estimate (default {DEFAULT_SLOWDOWN})
  PROFILE          1: the program prints the time of every step, heap and stack (docs/profiling.md)
  CORES            2: both cores compute, on {", ".join(_TWO_CORES)} (default 1)
  IO               float, int8 or uint8: what inputs and outputs are on the board (default float); int8 takes a quarter
                   of the memory; with uint8 inputs are pixels, outputs int8
  INPUT_TYPE, OUTPUT_TYPE
                   each for itself: float, int8, int16, and of inputs uint8; NAME=int8 for the one of that name
  INPUT_LAYOUT, OUTPUT_LAYOUT
                   NHWC or NCHW: the order of an image on the board (default as in the model)
  OUT              where everything goes (default build/<name of MODEL>)
  CONVERT_OPTIONS, PREPROCESS_OPTIONS, QUANTIZE_OPTIONS, EXPORT_OPTIONS, RUN_OPTIONS, DEBUG_OPTIONS
                   more options for a step's script; tools/tvm/ has the scripts, each with --help
  PYTHON, CC       the Python 3.8 to set up with, the C compiler of this computer
"""

# What IO says of inputs and of outputs.
PORT_TYPES = {"float": ("", ""), "int8": ("int8", "int8"), "uint8": ("uint8", "int8")}

WHAT_IT_IS = {
    "MODEL": "the float ONNX model",
    "CALIB": "the samples to calibrate with",
    "INPUT": "a sample of the model's input",
    "BASE": "another exported project",
    "LABELS": "a label for each sample of INPUT",
}
# A name that stands alone: ESP-IDF has none.
_NAME = re.compile(r"(?<![-\w])[A-Z][A-Z0-9_]+(?![-\w])")
# Options that a variable of the same name gives.
_OPTION = re.compile(
    r"--(arena|board|flash|input_layout|input_type|internal|output_layout|output_type|psram|slowdown)\b(?!-)"
)
_LINE = re.compile(r"(?m)^(##@|[a-z0-9-]+:.*?##) *(.*)$")


def known(repo: Path) -> List[str]:
    """Every variable that `make help` names: those of HELP, in front of a target's colon, NAME=, and in headings."""
    found = {name for line in re.findall(r"(?m)^  (\S.*?)(?:  |$)", HELP) for name in _NAME.findall(line)}
    for makefile in [repo / "Makefile", *sorted((repo / "scripts").glob("*.mk"))]:
        for head, text in _LINE.findall(makefile.read_text("utf-8")):
            found.update(re.findall(r"\b([A-Z][A-Z0-9_]+)=", text))
            names = re.match(r"(?:\[?[A-Z][A-Z0-9_]*(?:=[\w|.-]+)?\]?(?:\s+|(?=:)))+:", text)
            found.update(_NAME.findall(text if head == "##@" else names.group() if names else ""))
    return sorted(found)


def in_variables(error: UserError) -> str:
    """The message of an option's check with the variables in place of the options: `FLASH=3GB: is no size` where the
    script says `--flash 3GB: is no size`."""
    beginning = _OPTION.match(str(error))
    text = _OPTION.sub(lambda option: option[1].upper(), str(error))
    # Its value, as far as the colon, follows the option at the beginning.
    return text.replace(" ", "=", 1) if beginning and str(error)[beginning.end()] == " " else text


def complain(given: Iterable[str], repo: Path) -> bool:
    """Tell which of the variables `given` on make's command line no target knows; whether one must be a mistake."""
    names = known(repo)
    wrong = False
    for name in given:
        if name in names:
            continue
        near = did_you_mean(name, names)
        if near:
            say_error(f"no target knows the variable {name}{near}")
        elif name.isupper():
            say(f"note: no target knows the variable {name}; make help lists them")
        wrong = wrong or bool(near)
    return wrong
