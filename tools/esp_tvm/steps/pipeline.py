"""One model's way through the steps: convert (where it is no ONNX yet), preprocess, quantize, export, run, emulate,
debug, report, compare.

A step is done when its product is missing, damaged or its recipe changed: the command with all its options, the content
of the files it reads, and a hash of the tools. For a step that is only needed by the one asked for, a variable that is
not set means what it was when that step was done for the same MODEL: after `make quantize QUANTIZE_OPTIONS=...` a plain
`make export` exports that very model.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import stat
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ..boards import check_arena, check_board, choose_board
from ..chips import CHIPS, check_chip
from ..convert.environment import is_converted, kind_of, without_suffix
from ..errors import UserError, did_you_mean
from ..places import CHECKOUT, TEMPLATE
from ..port_options import read_port_options
from ..project.users_files import is_whole
from ..run.machines import RISCV
from . import process
from .record import MADE, PROJECT, Records, content
from .variables import BOARD_VARIABLES, DEFAULT_CHIP, PORT_TYPES, WHAT_IT_IS
from .words import StepError, fail, say

ALL_STEPS = ("convert", "preprocess", "quantize", "export", "run")
# What the steps write into OUT: none of it is a step's MODEL there.
_WRITTEN = (
    "model_converted.onnx",
    "model_opt.onnx",
    "model_quant.onnx",
    "input_sample.npz",
    "report.html",
    "report.txt",
)
_WRITTEN_FOLDERS = (PROJECT, "tvmdbg", MADE, "logs")
# The model of the last make, for one that names none.
LAST = Path("build", ".last.json")


def hash_of_tools() -> str:
    """A hash of all that turns a model into a project: what an earlier version made is made again."""
    assert CHECKOUT is not None
    digest = hashlib.sha256()
    for root in (CHECKOUT / "tools", TEMPLATE):
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def default_out(model: str) -> Path:
    """Where a model's products go when OUT does not say."""
    return Path("build", without_suffix(Path(model).name) or "model")


def last() -> Dict[str, str]:
    """MODEL and OUT of the last make; {} where there was none, or its model is gone."""
    try:
        found = json.loads(LAST.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    known = isinstance(found, dict) and all(isinstance(found.get(name), str) for name in ("MODEL", "OUT"))
    return found if known and os.path.exists(found["MODEL"]) else {}


def with_last(variables: Dict[str, str]) -> Dict[str, str]:
    """The variables, with MODEL and OUT of the last make where neither is given; says so."""
    if variables.get("MODEL"):
        return variables
    before = last()
    if variables.get("OUT"):
        # What the folder was made of.
        models = [model for model in Records(Path(variables["OUT"])).models() if os.path.exists(model)]
        before = {"MODEL": spelled(models[0]), "OUT": variables["OUT"]} if len(models) == 1 else {}
    if not before:
        return variables
    say(f"MODEL={before['MODEL']} OUT={before['OUT']} (as last time)")
    return {**variables, **before}


def spelled(path: str) -> str:
    """A path as short as it can be said: from here where it lies below, else from the root."""
    full = os.path.abspath(path)
    short = os.path.relpath(full)
    return full if short == ".." or short.startswith("../") else short


class Pipeline:
    """One model's way through the steps, in one folder OUT.

    goal: what was asked for; asked: the steps for which unset variables mean their defaults
    """

    def __init__(self, goal: str, asked: Sequence[str], variables: Dict[str, str]) -> None:
        self.goal = goal
        self.asked = asked
        self.variables = {name: value for name, value in variables.items() if value}
        self.model = self.path("MODEL")
        self.identity = os.path.realpath(self.model)
        self.out = Path(self.variables["OUT"]) if "OUT" in self.variables else default_out(self.model)
        self.records = Records(self.out)
        self._refuse_product()
        self.python_path = ""
        self.tools = ""
        self.lock = None
        self.done: Set[str] = set()

    # --- variables ---

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
        products = [self.out / name for name in _WRITTEN]
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
        """Whether MODEL brings its exponents: an .espdl does, unless its float model is asked for."""
        other = is_converted(self.model) and kind_of(self.model) == "espdl"
        return other and "--float" not in self.options("convert")[1]

    def project_sample(self, model: str) -> str:
        """INPUT of the export: one sample. `run` may be given many, and does not change a finished project."""
        before = self.recorded("export").get("INPUT")
        if "export" not in self.asked and before and os.path.exists(before):
            return before
        given = self.input()
        if self.goal == "export" and "INPUT" in self.variables:
            return given
        recipe = {"MODEL": self.identity, "reads": [content(given), content(model)], "tools": self.tools}
        known = self.recorded("sample")
        chosen = known.pop("chosen", "")
        if known != recipe or not os.path.exists(chosen):
            output = self.out / "input_sample.npz"
            command = ["scripts/first_sample.py", "--model", model, "--input", given, "--output", str(output)]
            chosen = self.tool("sample", command, show=False).rstrip("\n")
            self.records.made([output])
            self.records.note("sample", {**recipe, "chosen": chosen})
        if "INPUT" not in self.variables and given != before:
            say(f"INPUT is not set: the first sample of {given} is taken")
        return chosen

    def chip(self) -> str:
        """The chip that TARGET names, or BOARD: of one that is set now the other's earlier value says nothing."""
        target = self.variables.get("TARGET")
        board = self.variables.get("BOARD") if target else self.setting("export", "BOARD")
        try:
            if board and not target:
                return check_board(board).chip
        except UserError as error:
            fail(f"BOARD={board}: {error}")
        chip = self.setting("export", "TARGET", DEFAULT_CHIP)
        try:
            return check_chip(chip).name
        except UserError as error:
            fail(f"TARGET={chip} is not a chip we know: {error}")

    def board(self) -> Dict[str, str]:
        """What is known of the board: BOARD, FLASH, PSRAM, INTERNAL, those that are set. A chip or board that is set
        now is another board than before."""
        other = any(name in self.variables for name in ("TARGET", "BOARD"))
        values = {}
        for name in BOARD_VARIABLES:
            value = self.variables.get(name, "") if other else self.setting("export", name)
            if value:
                values[name] = value
        try:
            choose_board(self.chip(), **{name.lower(): value for name, value in values.items()})
        except UserError as error:
            fail(" ".join(f"{name}={value}" for name, value in values.items()) + f": {error}")
        return values

    def arena(self) -> str:
        """What the arena of the exported program may have."""
        arena = self.setting("export", "ARENA", "auto")
        try:
            return check_arena(arena)
        except UserError as error:
            fail(f"ARENA={arena}: {error}")

    def cores(self) -> str:
        """How many cores the exported program uses."""
        cores, chip = self.setting("export", "CORES", "1"), self.chip()
        if cores not in ("1", "2"):
            fail(f"CORES={cores}: a model runs on 1 or 2")
        if "CORES" not in self.variables and int(cores) > CHIPS[chip].cores:
            return "1"
        if int(cores) > CHIPS[chip].cores:
            fail(f"CORES={cores}: {chip} has one core for a model; choose another TARGET or leave CORES out")
        return cores

    def port_options(self) -> Tuple[Dict[str, str], List[str]]:
        """(the variables that say what inputs and outputs are on the board, the export's options for them)."""
        names = ("IO", "INPUT_TYPE", "OUTPUT_TYPE", "INPUT_LAYOUT")
        given = {name: self.setting("export", name) for name in names}
        both = given["IO"]
        if both not in ("", *PORT_TYPES):
            near = did_you_mean(both, PORT_TYPES)
            fail(f"IO={both} is none of {', '.join(PORT_TYPES)}{near}; INPUT_TYPE and OUTPUT_TYPE are set each alone")
        types = {**given, **{n: v for n, v in zip(names[1:3], PORT_TYPES.get(both, ("", ""))) if not given[n]}}
        words = [self._words(name, types[name]) for name in names[1:]]
        try:
            read_port_options(*words)
        except UserError as error:
            fail(str(error))
        named = zip(("--input_type", "--output_type", "--input_layout"), words)
        return given, [word for option, values in named for value in values for word in (option, value)]

    def options(self, step: str) -> Tuple[str, List[str]]:
        name = f"{step.upper()}_OPTIONS"
        text = self.setting(step, name)
        return text, self._words(name, text)

    @staticmethod
    def _words(name: str, text: str) -> List[str]:
        try:
            return shlex.split(text)
        except ValueError as error:
            fail(f"{name}={text}: {error}")

    def log_file(self) -> str:
        """LOG, which must be there; `-` is standard input."""
        log = self.variables.get("LOG", "")
        if log not in ("", "-") and not os.path.isfile(log):
            fail(f"LOG={log} does not exist; save what the serial monitor shows in a file")
        return log

    def compiler(self) -> None:
        """CC, where it is set, must be a program."""
        compiler = self.variables.get("CC", "")
        words = shlex.split(compiler) if compiler else []
        if words and shutil.which(words[0]) is None:
            fail(f"CC={compiler} is no program on PATH; name a C compiler of this computer, or leave CC out")

    # --- running ---

    def open(self) -> None:
        """Make OUT, let nobody else work in it, and set up the environment."""
        if self.out.exists() and not self.out.is_dir():
            fail(f"OUT={self.out} is a file; name a folder")
        try:
            for name in (MADE, "logs"):
                (self.out / name).mkdir(parents=True, exist_ok=True)
            # Held until this process and every script that it started have ended.
            self.lock = open(self.out / MADE / "lock", "w")
        except OSError as error:
            fail(f"OUT={self.out} cannot be made or written: {error.strerror}")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another make in {self.out} to end")
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        self._remove_litter()
        others = [model for model in self.records.models() if model != self.identity]
        if others:
            say(
                f"note: {self.out} holds what was made of {spelled(others[0])}; it is made anew of {self.model}. "
                "OUT=another/folder keeps both"
            )
        self._remember()
        self.python_path = process.set_up()
        self.tools = hash_of_tools()

    def _remove_litter(self) -> None:
        """Half-written files of steps that were killed: the lock is ours, so nobody writes them now."""
        for name in _WRITTEN:
            for path in self.out.glob(f".{name}.????????{Path(name).suffix}"):
                path.unlink()

    def _remember(self) -> None:
        """Note this model for a make that names none; where build/ cannot be written, none is remembered."""
        try:
            LAST.parent.mkdir(exist_ok=True)
            half = LAST.with_suffix(".new")
            half.write_text(json.dumps({"MODEL": self.model, "OUT": str(self.out)}), "utf-8")
            os.replace(half, LAST)
        except OSError:
            return

    def tool(self, step: str, command: List[str], show: bool = True) -> str:
        """Run a script in the environment; what it prints also goes to OUT/logs and is returned."""
        if show:
            say(f"== {step}")
        log = self.out / "logs" / f"{step}.log"
        try:
            return process.run(step, command, self.python_path, log, self.lock, show)
        finally:
            self.records.made([log])

    def make(
        self,
        step: str,
        product: Path,
        command: List[str],
        reads: List[str],
        options: Sequence[str] = (),
        **variables: str,
    ) -> None:
        """Do `step` unless `product` is there as it was made, by the same recipe. options: may name files, read too."""
        if step in self.done:
            return
        self.done.add(step)
        named = [word.rpartition("=")[2] for word in options]
        files = [*reads, *(word for word in named if os.path.isfile(word))]
        recipe = {
            "MODEL": self.identity,
            **variables,
            # The content of what is read counts, not how its path is spelled.
            "command": [f"<{reads.index(word)}>" if word in reads else word for word in command],
            "reads": [content(path) for path in files],
            "tools": self.tools,
        }
        if self._is_made(product) and self._same(self.recorded(step), recipe):
            say(f"== {step}: {product} is up to date")
            return
        # Whatever stops the step from here on, it counts as not done; its files need not be named again.
        files_only = {name: recipe[name] for name in ("MODEL", "CALIB", "INPUT") if name in recipe}
        self.records.note(step, files_only)
        self.tool(step, command)
        if product.name != PROJECT:
            self.records.made([product, *self.out.glob(f"{product.name}.evaluation.*")])
        self.records.note(step, recipe)

    @staticmethod
    def _same(recorded: dict, recipe: dict) -> bool:
        """Whether two recipes make the same: CALIB and INPUT are told by their content."""
        paths = ("CALIB", "INPUT")
        return {k: v for k, v in recorded.items() if k not in paths} == {
            k: v for k, v in recipe.items() if k not in paths
        }

    def _is_made(self, product: Path) -> bool:
        return is_whole(product) if product.name == PROJECT else self.records.is_as_made(product)

    # --- steps ---

    def check(self, goal: str) -> None:
        """Look at all variables that `goal` needs before anything is done."""
        self.compiler()
        self.options("convert")
        self.options("preprocess")
        if goal in ("quantize", "export", "run", "emulate", "debug", "report", "compare"):
            self.calibration()
            self.options("quantize")
        if goal in ("export", "run", "emulate", "debug", "report", "compare"):
            self.input()
            self.cores()
            self.arena()
            self.board()
            self.port_options()
            self.options("export")
        if goal in ("run", "debug"):
            self.options(goal)
        if goal in ("report", "compare"):
            log = self.log_file() or "-"
            if goal == "compare" and log == "-" and sys.stdin.isatty():
                fail("LOG is not set; give the file with the board's log, or: make monitor | make compare")

    def onnx(self) -> str:
        """MODEL, or the ONNX model that was made of it."""
        if not is_converted(self.model):
            return self.model
        text, options = self.options("convert")
        product = self.out / "model_converted.onnx"
        command = ["tools/tvm/onnx_from.py", "--output", str(product), *options, self.model]
        self.make("convert", product, command, [self.model], options, CONVERT_OPTIONS=text)
        return str(product)

    def preprocess(self) -> str:
        model = self.onnx()
        text, options = self.options("preprocess")
        product = self.out / "model_opt.onnx"
        command = ["tools/tvm/preprocess_onnx.py", "--input", model, "--output", str(product), *options]
        self.make("preprocess", product, command, [model], options, PREPROCESS_OPTIONS=text)
        return str(product)

    def quantize(self) -> str:
        calib = self.calibration()
        text, options = self.options("quantize")
        model = self.preprocess()
        product = self.out / "model_quant.onnx"
        command = ["tools/tvm/esp_quantize_onnx.py", "--input_model", model, "--output_model", str(product)]
        command += [*(["--calibrate_dataset", calib] if calib else []), *options]
        reads, named = ([model, calib], {"CALIB": calib}) if calib else ([model], {})
        self.make("quantize", product, command, reads, options, QUANTIZE_OPTIONS=text, **named)
        return str(product)

    def export(self) -> Tuple[str, str]:
        chip, cores, board = self.chip(), self.cores(), self.board()
        text, options = self.options("export")
        ports, port_options = self.port_options()
        sample = self.project_sample(self.preprocess())
        model = self.quantize()
        product = self.out / PROJECT
        command = ["tools/tvm/export_onnx_model.py", "--target_chip", chip, "--model_path", model]
        command += ["--img_path", sample, "--template_path", TEMPLATE.name, "--out_path", str(self.out)]
        arena = self.arena()
        command += [*(["--cores", cores] if cores != "1" else []), *(["--arena", arena] if arena != "auto" else [])]
        command += [word for name, value in board.items() for word in (f"--{name.lower()}", value)]
        command += [*port_options, *options]
        settings = {"INPUT": sample, "TARGET": chip, "CORES": cores, "ARENA": arena, "EXPORT_OPTIONS": text}
        settings.update({**board, **ports})
        self.make("export", product, command, [model, sample], options, **settings)
        return model, str(product)

    def run(self) -> None:
        _, options = self.options("run")
        model, project = self.export()
        command = ["tools/tvm/run_project.py", "--project", project, "--model", model, "--input", self._samples()]
        self.tool("run", command + options)

    def _samples(self) -> str:
        """INPUT, one or many; without it the sample that the project was exported with."""
        if "INPUT" in self.variables:
            return self.path("INPUT")
        return self.recorded("export")["INPUT"]

    def deploy(self) -> None:
        """All steps; where the chip is a RISC-V also the emulator, with the project's one sample."""
        self.run()
        if not CHIPS[self.chip()].is_riscv:
            return
        missing = RISCV.missing_tools()
        if missing:
            are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
            advice = f"scripts/system-packages.sh apt-packages-emulator.txt installs {them}"
            say(f"== emulate: left out, because {', '.join(missing)} {are} not there; {advice}")
        else:
            self.emulate(self.recorded("export")["INPUT"])

    def emulate(self, sample: Optional[str] = None) -> None:
        model, project = self.export()
        command = ["tools/tvm/emulate_project.py", "--project", project, "--model", model]
        self.tool("emulate", [*command, "--input", sample or self._samples()])

    def debug(self) -> None:
        _, options = self.options("debug")
        sample = self.path("INPUT") if "INPUT" in self.variables else self.project_sample(self.preprocess())
        model = self.quantize()
        command = ["tools/tvm/debug_onnx_model.py", "--target_chip", self.chip(), "--model_path", model]
        self.tool("debug", [*command, "--img_path", sample, *options])
        self.records.made([self.out / "tvmdbg"])

    def report(self) -> None:
        log = self.log_file()
        model, project = self.export()
        page = self.out / "report.html"
        command = ["tools/tvm/report.py", "--project", project, "--model", model, "--input", self._samples()]
        command += ["--float_model", self.preprocess(), "--output", str(page), *(["--log", log] if log else [])]
        self.tool("report", command)
        self.records.made([page, page.with_suffix(".txt")])

    def compare(self) -> None:
        """A log against the reference; live where it comes from standard input."""
        model, project = self.export()
        command = ["tools/tvm/compare_log.py", "--log", self.log_file() or "-", "--model", model, "--project", project]
        process.run_live([*command, "--input", self._samples()], self.python_path)


def exclusive(out: Path) -> Optional[object]:
    """Hold OUT while this process lives, or end where a make works there."""
    try:
        lock = open(out / MADE / "lock", "w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StepError(f"another make is still at work in {out}; wait for it to end")
    except OSError:
        return None
    return lock
