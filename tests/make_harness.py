"""A copy of the project's front door (Makefile, scripts/pipeline.sh) with small stand-ins behind it.

The steps' own scripts are replaced by ones that write their arguments into their product; a set-up that only prints a
path stands in for the real one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

STEPS = ["preprocess", "quantize", "export", "run"]

# Writes the file or the project that the real script would, and counts its calls.
SCRIPT = """
import hashlib, pathlib, sys
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open("calls.txt", "a") as calls:
    calls.write(STEP + "\\n")
if "--fail" in arguments:
    sys.exit("error: told to fail")
text = STEP + repr(sorted(arguments.items()))
# What it makes hangs on what it reads.
names = ("--input", "--input_model", "--calibrate_dataset", "--model_path", "--img_path")
read = [pathlib.Path(arguments[name]) for name in names if name in arguments]
text += "".join("\\n" + hashlib.sha256(path.read_bytes()).hexdigest() for path in read if path.is_file())
print("done by", STEP)
if STEP == "export":
    sys.path.insert(0, "tools")
    from esp_tvm.project.users_files import record
    project = pathlib.Path(arguments["--out_path"]) / "new_project"
    for name in ("main/app_main.c", "main/input_data.h", "components/tvm_model/model/metadata.json"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    record(project, "hash")
elif "--output" in arguments or "--output_model" in arguments:
    pathlib.Path(arguments.get("--output") or arguments["--output_model"]).write_text(text)
else:
    pathlib.Path("last-" + STEP).write_text(text)
"""

# As the real one, but "many" in a file's name is what makes it many samples.
FIRST_SAMPLE = """
import pathlib, sys
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if "many" in arguments["--input"]:
    pathlib.Path(arguments["--output"]).write_text("one of many")
    print(arguments["--output"])
else:
    print(arguments["--input"])
"""


def share_compiled(source: Path, copy: Path) -> None:
    """Let Python take for the files in `copy` what it compiled of those in `source`: it knows them by size and time."""
    if sys.pycache_prefix is not None:
        cache, kept = (Path(sys.pycache_prefix, *path.resolve().parts[1:]) for path in (copy, source))
        cache.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(kept, cache)


class Project:
    """A copy of the front door with stand-ins behind it."""

    def __init__(self, repo: Path, folder: Path):
        self.folder = folder
        for name in ("scripts", "tools/tvm", ".venv/bin", "examples/digits", "template_project_for_model"):
            (folder / name).mkdir(parents=True)
        shutil.copy(repo / "Makefile", folder)
        for path in [repo / "scripts/pipeline.sh", repo / "scripts/pipeline.py", *repo.glob("scripts/*.mk")]:
            shutil.copy(path, folder / "scripts")
        self.write("scripts/setup.sh", '#!/bin/sh\necho "$PWD/tvm/python"\n').chmod(0o755)
        self.write("scripts/first_sample.py", FIRST_SAMPLE)
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(repo / "tools" / "esp_tvm", folder / "tools" / "esp_tvm", ignore=ignored)
        share_compiled(repo / "tools/esp_tvm", folder / "tools/esp_tvm")
        os.symlink(sys.executable, folder / ".venv" / "bin" / "python")
        self.write(".venv/made-by-setup", "")
        for step, script in {
            "convert": "tools/tvm/onnx_from.py",
            "preprocess": "tools/tvm/preprocess_onnx.py",
            "quantize": "tools/tvm/esp_quantize_onnx.py",
            "export": "tools/tvm/export_onnx_model.py",
            "run": "tools/tvm/run_project.py",
            "emulate": "tools/tvm/emulate_project.py",
            "debug": "tools/tvm/debug_onnx_model.py",
            "evaluate": "examples/digits/evaluate.py",
            "evaluate_project": "tools/tvm/evaluate_project.py",
            "report": "tools/tvm/report.py",
        }.items():
            self.write(script, f"STEP = {step!r}\n{SCRIPT}")
        for name in ("a.onnx", "calib.npy", "sample.npy", "many.npy"):
            self.write(name, name)
        for name in ("model.onnx", "calib.npy", "input_sample.npy"):
            self.write(f"examples/digits/{name}", name)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def make(self, *arguments: str, status: int = 0, **more: str) -> subprocess.CompletedProcess:
        """`make arguments`, with `more` in the environment; it must end with `status`."""
        variables = (
            "MODEL",
            "CALIB",
            "INPUT",
            "TARGET",
            "OUT",
            "MAKEFLAGS",
            "MAKELEVEL",
            "MFLAGS",
            "CONVERT_OPTIONS",
            "PREPROCESS_OPTIONS",
        )
        variables += ("QUANTIZE_OPTIONS", "EXPORT_OPTIONS", "RUN_OPTIONS", "DEBUG_OPTIONS", "CORES")
        variables += ("BOARD", "FLASH", "PSRAM", "INTERNAL", "LABELS", "BASE", "PROFILE")
        environment = {key: value for key, value in os.environ.items() if key not in variables}
        environment.update(more)
        done = subprocess.run(
            # With cwd= Python would fork (tests/conftest.py).
            ["env", "-C", str(self.folder), "make", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        return done

    def calls(self, *arguments: str, **more: str) -> list:
        """The steps that `make arguments` does."""
        calls = self.folder / "calls.txt"
        calls.write_text("")
        self.make(*arguments, **more)
        return calls.read_text().split()

    def error(self, *arguments: str) -> str:
        """The error line of a `make` that must fail; nothing but it and make's own line is printed."""
        done = self.make(*arguments, status=2)
        error, own = done.stderr.splitlines()
        assert error.startswith("error: ") and re.match(r"(make|Makefile:\d+): \*\*\* ", own)
        assert done.stdout == ""
        return error


ALL = ("MODEL=a.onnx", "CALIB=calib.npy", "INPUT=sample.npy")
