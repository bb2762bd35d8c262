"""What the variables of make mean to the steps of one model: as set now, as they were, or their defaults."""

from __future__ import annotations

import mmap
import os
import re
import stat
import sys
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from ..boards import check_arena, check_slowdown
from ..chips import CHIPS
from ..convert.environment import is_converted, kind_of, without_suffix
from ..errors import UserError
from .record import MADE, PROJECT, Records
from .values import PORT_VARIABLES, check_compiler, check_hardware, check_word, chip_of, port_words, words_of
from .variables import BOARD_VARIABLES, WHAT_IT_IS, in_variables
from .words import fail

# What the steps write into OUT: none of it is a step's MODEL there.
WRITTEN = (
    "model_converted.onnx",
    "model_opt.onnx",
    "model_quant.onnx",
    "input_sample.npz",
    "report.html",
    "report.txt",
    "evaluation.json",
)
# By this a project is known.
METADATA_FILE = os.path.join("components", "tvm_model", "model", "metadata.json")
_WRITTEN_FOLDERS = (PROJECT, "tvmdbg", MADE, "logs")


# Steps with options of their own, and the variables that say what is exported.
_WITH_OPTIONS = ("convert", "preprocess", "quantize", "export", "run", "debug")
_OF_EXPORT = ("TARGET", *BOARD_VARIABLES, "ARENA", "SLOWDOWN", "CORES", "PROFILE", *PORT_VARIABLES)

# The operators by which an ONNX file with quantized activations is known. It is not parsed: make starts at once.
_QUANTIZES = re.compile(rb"(?<!Dynamic)QuantizeLinear|QLinear(Conv|MatMul)")


def default_out(model: str) -> Path:
    """Where a model's products go when OUT does not say."""
    return Path("build", without_suffix(Path(model).name) or "model")


def spelled(path: str) -> str:
    """A path as short as it can be said: from here where it lies below, else from the root."""
    full = os.path.abspath(path)
    short = os.path.relpath(full)
    return full if short == ".." or short.startswith("../") else short


class Settings:
    """The variables of one make, looked at for one model and its folder OUT.

    goal: what was asked for; asked: the steps for which unset variables mean their defaults
    """

    def __init__(self, goal: str, asked: Sequence[str], variables: Dict[str, str]) -> None:
        self.goal = goal
        self.asked = asked
        self.variables = {name: value for name, value in variables.items() if value}
        self.model = self.path("MODEL")
        if os.path.isdir(self.model) and not is_converted(self.model):
            fail(f"MODEL={self.model} is a folder, and no SavedModel (no saved_model.pb in it); name the model's file")
        self.identity = os.path.realpath(self.model)
        self.out = Path(self.variables["OUT"]) if "OUT" in self.variables else default_out(self.model)
        self.records = Records(self.out)
        self._refuse_product()

    def path(self, name: str) -> str:
        """The file or folder that a variable names; it must be there."""
        value = self.variables.get(name)
        if not value:
            fail(f"{name} is not set; give {WHAT_IT_IS[name]}: make {self.goal} {name}=path/to/file")
        if "\n" in value:
            fail(f"{name} has a line break in it")
        if not os.path.exists(value) and os.path.exists(value.replace("$$", "$")):
            # As make itself wants a $ to be typed.
            value = value.replace("$$", "$")
        if not os.path.exists(value):
            fail(f"{name}={value} does not exist{self._elsewhere(value)}")
        mode = os.stat(value).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            fail(f"{name}={value} is neither a file nor a folder")
        if not os.access(value, os.R_OK):
            fail(f"{name}={value} cannot be read")
        value = spelled(value)
        # Not to be taken for an option by the scripts.
        return f"./{value}" if value.startswith("-") else value

    @staticmethod
    def _elsewhere(value: str) -> str:
        """A hint for `make -C`, whose files are named from the project's folder."""
        where = os.environ.get("CALLED_FROM", "")
        if where and not os.path.isabs(value) and os.path.exists(os.path.join(where, value)):
            return f" in {os.getcwd()}; files are named from there: give {os.path.join(where, value)}"
        return ""

    def _refuse_product(self) -> None:
        """A file that a step writes is never the model that it reads."""
        products = [self.out / name for name in WRITTEN]
        folders = [os.path.realpath(self.out / name) for name in _WRITTEN_FOLDERS]
        for product in products:
            if product.exists() and os.path.samefile(product, self.model):
                fail(f"MODEL={self.model} is what the steps write into OUT={self.out}; choose another OUT")
        if any(self.identity.startswith(folder + os.sep) for folder in folders):
            fail(f"MODEL={self.model} lies where the steps write, OUT={self.out}; choose another OUT")

    def recorded(self, step: str) -> dict:
        """The recipe with which `step` was last done, unless that was for another MODEL."""
        recipe = self.records.recipe(step)
        return recipe if recipe.get("MODEL") == self.identity else {}

    def setting(self, step: str, name: str, default: str = "") -> str:
        """A variable of a step: as set now; else the default, or what it was where the step is only needed."""
        value = self.variables.get(name)
        if not value and step not in self.asked:
            value = self.recorded(step).get(name)
        return value or default

    def sample(self, step: str, name: str) -> str:
        """CALIB or INPUT of a step: as set now, else as it was."""
        if name not in self.variables:
            before = self.recorded(step).get(name)
            if before and os.path.exists(before):
                return before
        return self.path(name)

    def input(self) -> str:
        """INPUT as set now, else as it was; else CALIB, whose first sample is taken."""
        before = self.recorded("export").get("INPUT")
        if "INPUT" in self.variables or (before and os.path.exists(before)):
            return self.sample("export", "INPUT")
        return self.calibration() or self.path("INPUT")

    def calibration(self) -> str:
        """CALIB as set now, else as it was; "" where there is none and none is needed."""
        before = self.recorded("quantize").get("CALIB")
        if self._is_quantized() and "CALIB" not in self.variables and not (before and os.path.exists(before)):
            return ""
        return self.sample("quantize", "CALIB")

    def _is_quantized(self) -> bool:
        """Whether MODEL brings its exponents or ranges: an .espdl does, unless its float model is asked for, and an
        ONNX file with quantized activations."""
        if is_converted(self.model):
            return kind_of(self.model) == "espdl" and "--float" not in self.options("convert")[1]
        return _quantizes_activations(self.model)

    def chip(self) -> str:
        """The chip that TARGET names, or BOARD: of one that is set now the other's earlier value says nothing."""
        target = self.variables.get("TARGET")
        board = "" if target else self.setting("export", "BOARD")
        return chip_of("" if board else self.setting("export", "TARGET"), board)

    def board(self) -> Dict[str, str]:
        """What is known of the board: BOARD, FLASH, PSRAM, INTERNAL, those that are set. A chip or board that is set
        now is another board than before."""
        other = any(name in self.variables for name in ("TARGET", "BOARD"))
        values = {}
        for name in BOARD_VARIABLES:
            value = self.variables.get(name, "") if other else self.setting("export", name)
            if value:
                values[name] = value
        check_hardware(self.chip(), values)
        return values

    def arena(self) -> str:
        """What the arena of the exported program may have."""
        arena = self.setting("export", "ARENA", "auto")
        try:
            return check_arena(arena)
        except UserError as error:
            fail(in_variables(error))

    def slowdown(self) -> str:
        """By how many percent the program may take longer for the least arena; "" as by default."""
        slowdown, arena = self.setting("export", "SLOWDOWN"), self.arena()
        if arena != "least" and "SLOWDOWN" not in self.variables:
            return ""
        try:
            check_slowdown(slowdown, arena)
        except UserError as error:
            fail(in_variables(error))
        return slowdown

    def cores(self) -> str:
        """How many cores the exported program uses."""
        cores, chip = check_word("CORES", self.setting("export", "CORES", "1")), self.chip()
        if "CORES" not in self.variables and int(cores) > CHIPS[chip].cores:
            return "1"
        if int(cores) > CHIPS[chip].cores:
            fail(f"CORES={cores}: {chip} has one core for a model; choose another TARGET or leave CORES out")
        return cores

    def profile(self) -> str:
        """ "1" if the exported program measures the time of every step, else ""."""
        value = check_word("PROFILE", self.setting("export", "PROFILE"))
        if value == "1" and "--debug" in self.options("export")[1]:
            fail("PROFILE=1 is --debug profile, and EXPORT_OPTIONS has --debug too; leave one out")
        return value if value == "1" else ""

    def port_options(self) -> Tuple[Dict[str, str], List[str]]:
        """(the variables that say what inputs and outputs are on the board, the export's options for them)."""
        given = {name: self.setting("export", name) for name in PORT_VARIABLES}
        return given, [word for option, values in port_words(given) for value in values for word in (option, value)]

    def options(self, step: str) -> Tuple[str, List[str]]:
        name = f"{step.upper()}_OPTIONS"
        text = self.setting(step, name)
        return text, words_of(name, text)

    def log_file(self) -> str:
        """LOG, which must be there; `-` is standard input."""
        log = self.variables.get("LOG", "")
        if log not in ("", "-") and not os.path.isfile(log):
            what = "is a folder" if os.path.isdir(log) else "does not exist"
            fail(f"LOG={log} {what}; save what the serial monitor shows in a file")
        return log

    def base(self) -> str:
        """BASE, another exported project or the folder that has it; "" where it is not set."""
        if "BASE" not in self.variables:
            return ""
        base = self.path("BASE")
        if not any(os.path.isfile(os.path.join(base, name, METADATA_FILE)) for name in ("", PROJECT)):
            fail(f"BASE={base} is not a project that export wrote, nor a folder with its {PROJECT}")
        return base

    def labels(self) -> str:
        """LABELS, which must be there; "" where it is not set."""
        return self.path("LABELS") if "LABELS" in self.variables else ""

    def check(self, goal: str) -> None:
        """Look at all variables that `goal` needs, and at all others that are set, before anything is done."""
        check_compiler(self.variables.get("CC", ""))
        for step in _WITH_OPTIONS:
            if step in ("convert", "preprocess", goal) or f"{step.upper()}_OPTIONS" in self.variables:
                self.options(step)
        looked_at = goal in ("export", "run", "emulate", "debug", "report", "evaluate", "compare")
        if goal == "quantize" or looked_at:
            self.calibration()
            self.options("quantize")
        if looked_at:
            self.input()
            self.options("export")
        if looked_at or any(name in self.variables for name in _OF_EXPORT):
            self.cores()
            self.profile()
            self.slowdown()
            self.board()
            self.port_options()
        for name in ("CALIB", "INPUT", "LABELS"):
            if name in self.variables or (goal, name) == ("evaluate", "INPUT"):
                self.path(name)
        self.base()
        log = self.log_file() or "-"
        if goal == "compare" and log == "-" and sys.stdin.isatty():
            fail("LOG is not set; give the file with the board's log, or: make monitor | make compare")


def _quantizes_activations(path: str) -> bool:
    """Whether the ONNX file at `path` names an operator that quantizes activations with constants of the file."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _QUANTIZES.search(content) is not None
