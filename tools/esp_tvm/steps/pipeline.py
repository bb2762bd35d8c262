"""One model's way through the steps: convert (where it is no ONNX yet), preprocess, quantize, export, run, emulate,
debug, report, evaluate, compare.

A step is done when its product is missing, damaged or its recipe changed: the command with all its options, the content
of the files it reads, and a hash of the tools. For a step that is only needed by the one asked for, a variable that is
not set means what it was when that step was done for the same MODEL: after `make quantize QUANTIZE_OPTIONS=...` a plain
`make export` exports that very model.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ..chips import CHIPS
from ..convert.environment import is_converted
from ..places import CHECKOUT, TEMPLATE
from ..project.users_files import is_whole
from ..run.machines import RISCV
from . import process
from .last import remember
from .record import MADE, PROJECT, content
from .settings import WRITTEN, Settings, spelled
from .words import StepError, fail, say

ALL_STEPS = ("convert", "preprocess", "quantize", "export", "run")


def hash_of_tools() -> str:
    """A hash of all that turns a model into a project: what an earlier version made is made again."""
    assert CHECKOUT is not None
    digest = hashlib.sha256()
    for root in (CHECKOUT / "tools", TEMPLATE):
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


class Pipeline(Settings):
    """One model's way through the steps, in one folder OUT.

    goal: what was asked for; asked: the steps for which unset variables mean their defaults
    """

    def __init__(self, goal: str, asked: Sequence[str], variables: Dict[str, str]) -> None:
        super().__init__(goal, asked, variables)
        self.python_path = ""
        self.tools = ""
        self.lock = None
        self.done: Set[str] = set()

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
        remember(self.model, self.out)
        self.python_path = process.set_up()
        self.tools = hash_of_tools()

    def _remove_litter(self) -> None:
        """Half-written files of steps that were killed: the lock is ours, so nobody writes them now."""
        for name in WRITTEN:
            for path in self.out.glob(f".{name}.????????{Path(name).suffix}"):
                path.unlink()

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
        arena, slowdown = self.arena(), self.slowdown()
        command += [*(["--cores", cores] if cores != "1" else []), *(["--arena", arena] if arena != "auto" else [])]
        command += ["--slowdown", slowdown] if slowdown else []
        profile = self.profile()
        command += ["--debug", "profile"] if profile else []
        command += [word for name, value in board.items() for word in (f"--{name.lower()}", value)]
        command += [*port_options, *options]
        settings = {"INPUT": sample, "TARGET": chip, "CORES": cores, "ARENA": arena, "EXPORT_OPTIONS": text}
        settings.update({**board, **ports, "PROFILE": profile, "SLOWDOWN": slowdown})
        self.make("export", product, command, [model, sample], options, **settings)
        return model, str(product)

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
        missing = RISCV.missing_parts()
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
        log, base = self.log_file(), self.base()
        model, project = self.export()
        page = self.out / "report.html"
        command = ["tools/tvm/report.py", "--project", project, "--model", model, "--input", self._samples()]
        command += ["--float_model", self.preprocess(), "--output", str(page), *(["--log", log] if log else [])]
        self.tool("report", [*command, *(["--base", base] if base else [])])
        self.records.made([page, page.with_suffix(".txt")])

    def evaluate(self) -> None:
        """The generated C and the float model on a test set; the report shows what is written."""
        labels = self.labels()
        _, project = self.export()
        product = self.out / "evaluation.json"
        command = ["tools/tvm/evaluate_project.py", "--project", project, "--model", self.preprocess()]
        command += ["--input", self.path("INPUT"), "--output", str(product), *(["--labels", labels] if labels else [])]
        self.tool("evaluate", command)
        self.records.made([product])

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
