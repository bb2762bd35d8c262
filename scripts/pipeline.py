"""The steps behind `make preprocess quantize export run debug deploy demo clean`.

    scripts/pipeline.sh STEP      with MODEL, CALIB, INPUT, TARGET, OUT, ... in the environment

A step is done when its product is missing or its recipe changed: the command with all its options, the sizes and
times of the files it reads, and a hash of the tools. The recipe of the last time stands in OUT/.made/STEP.json. For a
step that is only needed by the one asked for, a variable that is not set means what it was when that step was done for
the same MODEL: after `make quantize QUANTIZE_OPTIONS=...` a plain `make export` exports that very model.

Only the standard library: this runs before set-up, with whatever Python is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, NoReturn

REPO = Path(__file__).resolve().parent.parent
TEMPLATE = "template_project_for_model"
DIGITS = Path("examples/digits")

sys.path.insert(0, str(REPO / "tools"))
from esp_tvm.project.chips import CHIPS  # noqa: E402

DEFAULT_CHIP = "esp32s3"
TWO_CORES = [chip.name for chip in CHIPS.values() if chip.cores > 1 and not chip.is_host]

VARIABLES = f"""
Variables
  MODEL            the float ONNX model
  CALIB            samples to calibrate with: .npy (N samples); .npz or a folder where there are several inputs
  INPUT            one sample, or many for run
  TARGET           {", ".join(CHIPS)} (default {DEFAULT_CHIP})
  CORES            2: both cores compute, on {", ".join(TWO_CORES)} (default 1)
  OUT              where everything goes (default build/<name of MODEL>)
  QUANTIZE_OPTIONS, EXPORT_OPTIONS, RUN_OPTIONS, DEBUG_OPTIONS
                   more options for a step's script; tools/tvm/ has the scripts, each with --help
  PYTHON, CC       the Python 3.8 to set up with, the C compiler of this computer
"""

WHAT_IT_IS = {
    "MODEL": "the float ONNX model",
    "CALIB": "the samples to calibrate with",
    "INPUT": "a sample of the model's input",
}

# Frameworks that examples installed; `make distclean` removes them.
ENVIRONMENTS = Path("build", "env")
# Everything that a step writes into OUT, for `make clean`.
PRODUCTS = (
    "model_opt.onnx",
    "model_quant.onnx",
    "input_sample.npz",
    "new_project",
    "tvmdbg",
    "logs",
    ".made",
)
PROJECT_FILES = (
    "main/app_main.c",
    "main/input_data.h",
    "main/output_data.h",
    "components/tvm_model/model/codegen/host/src/default_lib0.c",
    "components/tvm_model/model/codegen/host/src/default_lib1.c",
    "components/tvm_model/model/codegen/host/include/tvmgen_default.h",
)


class PipelineError(Exception):
    """One line for the user, or nothing where a step has said it already; and the exit code."""

    def __init__(self, text: str = "", status: int = 2) -> None:
        super().__init__(text)
        self.status = status


def fail(text: str) -> NoReturn:
    raise PipelineError(text)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def identity(path: str) -> list:
    """What tells whether a file, or any file in a folder, was changed: names, sizes and times."""
    files = sorted(p for p in Path(path).rglob("*") if p.is_file()) if os.path.isdir(path) else [Path(path)]
    return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def hash_of_tools() -> str:
    """A hash of all that turns a model into a project: what an earlier version made is made again."""
    digest = hashlib.sha256()
    for root in ("tools", TEMPLATE):
        for path in sorted((REPO / root).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(REPO)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


class Pipeline:
    """One model's way through the steps, in one folder OUT.

    `goal` is what was asked for, `asked` the steps for which unset variables mean their defaults.
    """

    def __init__(self, goal: str, asked: tuple[str, ...], variables: dict[str, str]) -> None:
        self.goal = goal
        self.asked = asked
        self.variables = {name: value for name, value in variables.items() if value}
        self.model = self.path("MODEL")
        stem = Path(self.model).name
        stem = stem[: -len(".onnx")] if stem.endswith(".onnx") else stem
        self.out = Path(self.variables.get("OUT") or Path("build", stem or "model"))
        self.python_path = ""
        self.tools = ""
        self.done: set[str] = set()

    # --- variables ---

    def path(self, name: str) -> str:
        """The file or folder that a variable names; it must be there."""
        value = self.variables.get(name)
        if not value:
            fail(f"{name} is not set; give {WHAT_IT_IS[name]}: make {self.goal} {name}=path/to/file")
        if "\n" in value:
            fail(f"{name} has a line break in it")
        if not os.path.exists(value):
            fail(f"{name}={value} does not exist")
        if not os.access(value, os.R_OK):
            fail(f"{name}={value} cannot be read")
        # Not to be taken for an option by the scripts.
        return f"./{value}" if value.startswith("-") else value

    def recorded(self, step: str) -> dict:
        """The recipe with which `step` was last done, unless that was for another MODEL."""
        try:
            recipe = json.loads((self.out / ".made" / f"{step}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return recipe if isinstance(recipe, dict) and recipe.get("MODEL") == self.model else {}

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

    def project_sample(self, model: str) -> str:
        """INPUT of the export: one sample. `run` may be given many, and does not change a finished project."""
        before = self.recorded("export").get("INPUT")
        if "export" not in self.asked and before and os.path.exists(before):
            return before
        given = self.sample("export", "INPUT")
        if self.goal == "export":
            return given
        recipe = {"MODEL": self.model, "reads": [identity(given), identity(model)], "tools": self.tools}
        known = self.recorded("sample")
        chosen = known.pop("chosen", None)
        if known != recipe or not os.path.exists(chosen):
            output = str(self.out / "input_sample.npz")
            command = ["scripts/first_sample.py", "--model", model, "--input", given, "--output", output]
            chosen = self.tool("sample", command, show=False).rstrip("\n")
            self.record("sample", {**recipe, "chosen": chosen})
        return chosen

    def chip(self) -> str:
        chip = self.setting("export", "TARGET", DEFAULT_CHIP)
        if chip not in CHIPS:
            fail(f"TARGET={chip} is not a chip we know; choose one of {', '.join(CHIPS)}")
        return chip

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

    def options(self, step: str) -> tuple[str, list[str]]:
        name = f"{step.upper()}_OPTIONS"
        text = self.setting(step, name)
        try:
            return text, shlex.split(text)
        except ValueError as error:
            fail(f"{name}={text}: {error}")

    # --- running ---

    def open(self) -> None:
        """Make OUT, let nobody else work in it, and set up the environment."""
        if self.out.exists() and not self.out.is_dir():
            fail(f"OUT={self.out} is a file; name a folder")
        try:
            for name in (".made", "logs"):
                (self.out / name).mkdir(parents=True, exist_ok=True)
            # Held until this process ends.
            self.lock = open(self.out / ".made" / "lock", "w")
        except OSError as error:
            fail(f"OUT={self.out} cannot be made or written: {error.strerror}")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another make in {self.out} to end")
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.set_up()

    def set_up(self) -> None:
        done = subprocess.run(["scripts/setup.sh"], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise PipelineError(status=done.returncode)
        self.python_path = done.stdout.strip()
        self.tools = hash_of_tools()

    def tool(self, step: str, command: list[str], show: bool = True) -> str:
        """Run a script in the environment; what it prints also goes to OUT/logs and is returned."""
        if show:
            say(f"== {step}")
        environment = {
            **os.environ,
            "PYTHONPATH": self.python_path,
            "TOPHUB_LOCATION": "NONE",
            "PYTHONUNBUFFERED": "1",
        }
        path = self.out / "logs" / f"{step}.log"
        with open(path, "wb") as log:
            process = subprocess.Popen([".venv/bin/python", *command], stdout=subprocess.PIPE, env=environment)
            try:
                for block in iter(lambda: process.stdout.read1(1 << 16), b""):
                    log.write(block)
                    if show:
                        sys.stdout.buffer.write(block)
                        sys.stdout.buffer.flush()
            finally:
                # After Ctrl-C the script got it too and tidies up.
                status = process.wait()
        if status != 0:
            raise PipelineError(status=status if status > 0 else 128 - status)
        return path.read_text("utf-8", "replace")

    def record(self, step: str, recipe: dict) -> None:
        """Note that `step` was done by `recipe`."""
        path = self.out / ".made" / f"{step}.json"
        half = path.with_suffix(".new")
        half.write_text(json.dumps(recipe, indent=1), "utf-8")
        os.replace(half, path)

    def make(
        self,
        step: str,
        product: Path,
        parts: tuple,
        reads: list[str],
        command: list[str],
        **variables,
    ) -> None:
        """Do `step` unless `product`, with all its `parts`, is there and was made by the same recipe."""
        if step in self.done:
            return
        self.done.add(step)
        recipe = {
            "MODEL": self.model,
            **variables,
            "command": command,
            "reads": [identity(path) for path in reads],
            "tools": self.tools,
        }
        if self.recorded(step) == recipe and all((product / part).exists() for part in parts):
            say(f"== {step}: {product} is up to date")
            return
        # Whatever stops the step from here on, it counts as not done.
        self.record(step, {})
        self.tool(step, command)
        self.record(step, recipe)

    # --- steps ---

    def check(self, goal: str) -> None:
        """Look at all variables that `goal` needs before anything is done."""
        if goal in ("quantize", "export", "run", "emulate", "debug"):
            self.sample("quantize", "CALIB")
            self.options("quantize")
        if goal in ("export", "run", "emulate", "debug"):
            self.sample("export", "INPUT")
            self.cores()
            self.options("export")
        if goal in ("run", "debug"):
            self.options(goal)

    def preprocess(self) -> str:
        product = self.out / "model_opt.onnx"
        command = ["tools/tvm/preprocess_onnx.py", "--input", self.model, "--output", str(product)]
        self.make("preprocess", product, ("",), [self.model], command)
        return str(product)

    def quantize(self) -> str:
        calib = self.sample("quantize", "CALIB")
        text, options = self.options("quantize")
        model = self.preprocess()
        product = self.out / "model_quant.onnx"
        command = [
            "tools/tvm/esp_quantize_onnx.py",
            "--input_model",
            model,
            "--output_model",
            str(product),
        ]
        command += ["--calibrate_dataset", calib, *options]
        self.make("quantize", product, ("",), [model, calib], command, CALIB=calib, QUANTIZE_OPTIONS=text)
        return str(product)

    def export(self) -> tuple[str, str]:
        chip, cores = self.chip(), self.cores()
        text, options = self.options("export")
        sample = self.project_sample(self.preprocess())
        model = self.quantize()
        product = self.out / "new_project"
        command = ["tools/tvm/export_onnx_model.py", "--target_chip", chip, "--model_path", model]
        command += [
            "--img_path",
            sample,
            "--template_path",
            TEMPLATE,
            "--out_path",
            str(self.out),
            *(["--cores", cores] if cores != "1" else []),
            *options,
        ]
        reads = [model, sample]
        self.make(
            "export",
            product,
            PROJECT_FILES,
            reads,
            command,
            INPUT=sample,
            TARGET=chip,
            CORES=cores,
            EXPORT_OPTIONS=text,
        )
        return model, str(product)

    def run(self) -> None:
        sample = self.sample("export", "INPUT")
        _, options = self.options("run")
        model, project = self.export()
        command = [
            "tools/tvm/run_project.py",
            "--project",
            project,
            "--model",
            model,
            "--input",
            sample,
        ]
        self.tool("run", command + options)

    def deploy(self) -> None:
        """All steps; where the chip is a RISC-V also the emulator, with the project's one sample."""
        self.run()
        if not CHIPS[self.chip()].is_riscv:
            return
        missing = [tool for tool in EMULATOR_TOOLS if shutil.which(tool) is None]
        if missing:
            advice = "scripts/system-packages.sh apt-packages-emulator.txt installs it"
            say(f"== emulate: left out, because {missing[0]} is not there; {advice}")
        else:
            self.emulate(self.recorded("export")["INPUT"])

    def emulate(self, sample: str = "") -> None:
        sample = sample or self.sample("export", "INPUT")
        model, project = self.export()
        command = ["tools/tvm/emulate_project.py", "--project", project, "--model", model, "--input", sample]
        self.tool("emulate", command)

    def debug(self) -> None:
        sample = self.sample("export", "INPUT")
        _, options = self.options("debug")
        model = self.quantize()
        command = [
            "tools/tvm/debug_onnx_model.py",
            "--target_chip",
            self.chip(),
            "--model_path",
            model,
        ]
        self.tool("debug", command + ["--img_path", sample, *options])


ALL_STEPS = ("preprocess", "quantize", "export", "run")
EMULATOR_TOOLS = ("riscv64-unknown-elf-gcc", "qemu-system-riscv32")


def demo(variables: dict[str, str]) -> None:
    """The whole way for examples/digits, whatever MODEL and the other variables are."""
    variables = {
        **variables,
        "MODEL": str(DIGITS / "model.onnx"),
        "CALIB": str(DIGITS / "calib.npy"),
        "INPUT": str(DIGITS / "input_sample.npy"),
        "OUT": "build/digits",
    }
    pipeline = Pipeline("demo", ALL_STEPS, variables)
    pipeline.check("run")
    pipeline.open()
    pipeline.run()
    pipeline.tool("evaluate", [str(DIGITS / "evaluate.py"), "--project", str(pipeline.out / "new_project")])


def clean(variables: dict[str, str]) -> None:
    """Remove what the steps made for MODEL or in OUT; without both, all of build/ but installed frameworks."""
    if not variables.get("MODEL") and not variables.get("OUT"):
        for path in Path("build").glob("*"):
            if path.is_dir() and not path.is_symlink() and path != ENVIRONMENTS:
                shutil.rmtree(path, ignore_errors=True)
            elif path != ENVIRONMENTS:
                path.unlink()
        return
    if not variables.get("OUT"):
        out = Pipeline("clean", (), variables).out
    else:
        out = Path(variables["OUT"])
    for name in PRODUCTS:
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()


def exit_status(work: Callable[[], None]) -> int:
    """Do the work, tell people what went wrong, and return what the process ends with."""
    try:
        work()
    except PipelineError as error:
        if str(error):
            say(f"error: {error}")
        return error.status
    except OSError as error:
        where = error.filename or "where the output goes"
        say(f"error: {where}: {error.strerror}")
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


def do(goal: str) -> None:
    """What a make target asks for."""
    variables = dict(os.environ)
    if goal == "variables":
        print(VARIABLES, end="")
    elif goal == "demo":
        demo(variables)
    elif goal == "clean":
        clean(variables)
    else:
        asked = ALL_STEPS if goal == "deploy" else (goal,)
        pipeline = Pipeline(goal, asked, variables)
        pipeline.check("run" if goal == "deploy" else goal)
        pipeline.open()
        getattr(pipeline, goal)()


def main(arguments: list[str]) -> int:
    os.chdir(REPO)
    (goal,) = arguments
    return exit_status(lambda: do(goal))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
