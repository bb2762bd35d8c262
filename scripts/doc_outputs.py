#!/usr/bin/env python3
"""The sample outputs in the documents: made by commands, cut from what these printed, and compared.

docs/outputs/NAME.txt is all that one command printed for the digits example (`OUTPUTS`, `logs`). In a document a
comment before a fenced block says which part of which file the block shows:

    <!-- output: report.txt | from ^model | to ^output -->
    <!-- output: report.txt | table ^LAYERS | columns step, operator, MAC | rows 2, 5 -->

from, to: from the first line that matches to the next that does; lines: only lines that match;
table: the table below the line that matches; columns, rows (by the first cell): only these, as they are there;
cut: longer lines end in an ellipsis; without: this text is left out

    doc_outputs.py check     compare the documents with docs/outputs (a test does this too)
    doc_outputs.py write     write the blocks of the documents anew from docs/outputs
    doc_outputs.py run       write docs/outputs anew: all commands, minutes
    doc_outputs.py picture   make docs/report.png anew, which `run` does too
    doc_outputs.py verify    run all commands and compare what they print with docs/outputs
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

REPO = Path(__file__).resolve().parent.parent
OUTPUTS_FOLDER = REPO / "docs/outputs"
DOCUMENTS = ("README*.md", "docs/*.md", "examples/**/README*.md")
_MARKED = re.compile(r"(?m)^<!-- output: (.+?) -->\n```([^\n]*)\n((?:.*\n)*?)```$")

DIGITS = {
    "model.onnx": "model.onnx",
    "calib.npy": "calib.npy",
    "input.npy": "input_sample.npy",
    "test.npy": "test.npy",
    "labels.npy": "test_labels.npy",
}
_QUANTIZE = "esp_quantize_onnx.py --input_model model_opt.onnx --calibrate_dataset calib.npy"
_EVALUATE = "--evaluate test.npy --labels labels.npy"
_EXPORT = "export_onnx_model.py --model_path model_quant.onnx --img_path input.npy"
_BOARD = "esp32-s3-devkitc-1-n8r8"
# Script of tools/tvm and its arguments, in a folder with the digits' files; in this order.
COMMANDS: Dict[str, str] = {
    "preprocess": "preprocess_onnx.py --input model.onnx --output model_opt.onnx",
    "quantize": f"{_QUANTIZE} --output_model model_quant.onnx {_EVALUATE}",
    "quantize_plain": f"{_QUANTIZE} --output_model plain.onnx {_EVALUATE} "
    "--method minmax --equalize false --fit false --per_channel false",
    "export": f"{_EXPORT} --target_chip esp32s3 --out_path .",
    "run": "run_project.py --project new_project --model model_quant.onnx --input input.npy",
    "evaluate": "evaluate_project.py --project new_project --model model_opt.onnx --input test.npy --labels labels.npy",
    "report": "report.py --project new_project --model model_quant.onnx --float_model model_opt.onnx "
    "--input test.npy --output report.html",
    "debug": "debug_onnx_model.py --target_chip esp32s3 --model_path model_quant.onnx --img_path input.npy "
    "--layer /block/pointwise/Conv",
    "export_board": f"{_EXPORT} --board {_BOARD} --out_path board",
    "export_psram": f"{_EXPORT} --board {_BOARD} --internal 1kB --out_path psram",
    "export_c3": f"{_EXPORT} --target_chip esp32c3 --out_path c3 --debug checksums",
    "export_cores": f"{_EXPORT} --target_chip esp32 --cores 2 --out_path cores",
    "emulate": "emulate_project.py --project c3/new_project --model model_quant.onnx --input input.npy --log trace.txt",
}
# The tutorial's name of a layer; the error is its answer.
_TUTORIAL = """
from export_onnx_model import debug_onnx_model
m = debug_onnx_model("esp32s3", "model_quant.onnx", "input.npy")
try:
    m.debug_get_output("tvmgen_default_fused_nn_relu")
except Exception as error:
    print("error:", error)
"""
# What a command writes to a file, in place of what it prints.
_FILES = {"report": "report.txt"}
# A fault in the C of the ESP32-C3's program: (pattern, replacement) in default_lib0.c.
_FAULTS: Dict[str, Tuple[str, Callable]] = {
    "shift": (
        r"(esp_main_6_shift\[\d+\][^{]*\{\s*(?:\d+, ){3})(\d+)",
        lambda found: f"{found.group(1)}{int(found.group(2)) + 1}",
    ),
    "weight": (
        r"(esp_main_9_weights\[\d+\][^{]*\{\s*)(-?\d+)",
        lambda found: f"{found.group(1)}{(int(found.group(2)) & 0xFF ^ 0x40) - (int(found.group(2)) < 0) * 256}",
    ),
}


# --- the documents ----------------------------------------------------------------------------------------


def documents() -> List[Path]:
    return sorted(path for pattern in DOCUMENTS for path in REPO.glob(pattern))


def marked(path: Path) -> Iterator[Tuple[str, str]]:
    """(what a marker says, the text of its block) of each marked block."""
    for found in _MARKED.finditer(path.read_text("utf-8")):
        yield found.group(1), found.group(3)


def excerpt(marker: str) -> str:
    """The text that a marker describes, from docs/outputs."""
    name, *clauses = (part.strip() for part in marker.split(" | "))
    lines = (OUTPUTS_FOLDER / name).read_text("utf-8").splitlines()
    columns: List[str] = []
    for clause in clauses:
        word, _, value = clause.partition(" ")
        if word == "columns":
            columns = [column.strip() for column in value.split(",")]
        else:
            lines = _CLAUSES[word](lines, value)
        if not lines:
            raise ValueError(f"{marker}: nothing is left by '{clause}'")
    if columns:
        lines = _columns(lines, columns)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _to(lines: List[str], pattern: str) -> List[str]:
    """Up to the line that matches; nothing, which is an error, where none does."""
    last = _first(lines, pattern)
    return lines[: last + 1] if last < len(lines) else []


def _first(lines: List[str], pattern: str) -> int:
    return next((index for index, line in enumerate(lines) if re.search(pattern, line)), len(lines))


def _table(lines: List[str], pattern: str) -> List[str]:
    """The table below the line that matches, as far as the rows go."""
    below = lines[_first(lines, pattern) + 1 :]
    rule = _first(below, r"^-+( +-+)+$")
    width = len(below[rule]) if rule < len(below) else 0
    ends = next(
        (
            i
            for i in range(rule + 1, len(below))
            if not below[i] or re.match(r"(?!\S{1,40} {2,})\S", below[i]) and len(below[i]) > width
        ),
        len(below),
    )
    return below[rule - 1 : ends]


def _rows(lines: List[str], names: str) -> List[str]:
    wanted = [name.strip() for name in names.split(",")]
    body = [line for line in lines[2:] if line.split() and line.split()[0] in wanted]
    return [*lines[:2], *body]


def _columns(lines: List[str], names: List[str]) -> List[str]:
    """Whole columns of a table, by the places of its rule."""
    spans = [found.span() for found in re.finditer(r"-+", lines[1])]
    ends = [start for start, _ in spans[1:]] + [None]
    cells = [[line[start:end].rstrip() for (start, _), end in zip(spans, ends)] for line in lines]
    heads = [cell.strip() for cell in cells[0]]
    places = [heads.index(name) for name in names]
    kept = [[row[place] for place in places] for row in cells]
    # As narrow as what is shown, numbers where they were: at the right end of their column.
    shown = []
    for column in zip(*kept):
        left = min(len(cell) - len(cell.lstrip()) for cell in column if cell.strip())
        column = [cell[left:] for cell in column]
        width = max(len(cell) for index, cell in enumerate(column) if index != 1)
        column = [("-" * width if index == 1 else cell).ljust(width) for index, cell in enumerate(column)]
        shown.append(column)
    return ["  ".join(row) for row in zip(*shown)]


_CLAUSES: Dict[str, Callable[[List[str], str], List[str]]] = {
    "from": lambda lines, pattern: lines[_first(lines, pattern) :],
    "to": _to,
    "lines": lambda lines, pattern: [line for line in lines if re.search(pattern, line)],
    "table": _table,
    "rows": _rows,
    "cut": lambda lines, width: [line if len(line) <= int(width) else line[: int(width) - 1] + "…" for line in lines],
    "without": lambda lines, text: [line.replace(text, "") for line in lines],
}


def stale() -> List[str]:
    """A line for each marked block that is not what docs/outputs says."""
    found = []
    for path in documents():
        for marker, text in marked(path):
            if excerpt(marker) != text:
                found.append(f"{path.relative_to(REPO)}: the block of '{marker}' is not what the command printed")
    return found


def write() -> None:
    for path in documents():
        text = path.read_text("utf-8")
        new = _MARKED.sub(
            lambda found: f"<!-- output: {found.group(1)} -->\n```{found.group(2)}\n{excerpt(found.group(1))}```", text
        )
        if new != text:
            path.write_text(new, "utf-8")
            print(f"wrote {path.relative_to(REPO)}")


# --- what the commands print ------------------------------------------------------------------------------


def outputs(folder: Path) -> Iterator[Tuple[str, str]]:
    """(name, text) of all commands, run in `folder`."""
    _copy_digits(folder)
    for name, command in COMMANDS.items():
        text = _run(folder, command)
        if name in _FILES:
            text = (folder / _FILES[name]).read_text("utf-8")
        yield f"{name}.txt", _constant(text, folder)
    tutorial = subprocess.run(
        [sys.executable, "-c", _TUTORIAL],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{REPO / 'tools/tvm'}:{os.environ.get('PYTHONPATH', '')}"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    yield "tutorial_name.txt", tutorial.stdout
    yield "trace.txt", (folder / "trace.txt").read_text("utf-8")
    _run(
        folder,
        "emulate_project.py --project c3/new_project --model model_quant.onnx --input input.npy --log profile.txt "
        "--log_mode profile",
    )
    yield "profile.txt", (folder / "profile.txt").read_text("utf-8")
    data = [
        line for line in _log(folder, "c3/new_project", "input.npy").splitlines(True) if line.startswith("~tvm data")
    ]
    yield "trace_tensors.txt", "".join(data[:3])
    for name, log in (("profile", (folder / "profile.txt").read_text("utf-8")), *_logs(folder)):
        (folder / "log.txt").write_text(log, "utf-8")
        command = "compare_log.py --log log.txt --model model_quant.onnx --project c3/new_project --input input.npy"
        yield f"compare_{name}.txt", _constant(_run(folder, command), folder)


def _copy_digits(folder: Path) -> None:
    for name, source in DIGITS.items():
        shutil.copy(REPO / "examples/digits" / source, folder / name)


def _run(folder: Path, command: str) -> str:
    script, *arguments = command.split()
    path = REPO / "tools/tvm" / script
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(
        [sys.executable, path, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True, env=environment
    )
    if done.returncode not in (0, 1):
        sys.exit(f"error: {command} ended with {done.returncode}")
    return done.stdout


def picture(folder: Path) -> None:
    """docs/report.png: the first screen of the report in a browser, where there is one."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("docs/report.png stays as it is: there is no chromium")
        return
    from PIL import Image, ImageChops

    # Up to the end of the picture of the program, in a window that is taller.
    page, taken = folder / "first_screen.html", folder / "report.png"
    page.write_text((folder / "report.html").read_text("utf-8").split('<h2 id="about-memory"')[0], "utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1180,2400"]
    options += ["--blink-settings=preferredColorScheme=1", f"--user-data-dir={folder / 'browser'}"]
    command = [browser, *options, f"--screenshot={taken}", page.as_uri()]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
    whole = Image.open(taken).convert("RGB")
    bottom = ImageChops.difference(whole, Image.new("RGB", whole.size, "white")).getbbox()[3]
    whole.crop((0, 0, whole.width, bottom + 24)).quantize(256).save(REPO / "docs/report.png", optimize=True)


def _constant(text: str, folder: Path) -> str:
    """Without what differs from run to run: the folder; the date is fixed in `_run`."""
    return text.replace(f"{folder}/", "").replace(f"{folder.name}/", "")


def _logs(folder: Path) -> Iterator[Tuple[str, str]]:
    """(name, log) of a board for each thing that may be wrong with it, by the C on this computer."""
    right = _log(folder, "c3/new_project", "input.npy")
    yield "equal", _checksums(right)
    yield (
        "lost",
        "".join(line for line in _checksums(right).splitlines(True) if not re.match(r"~tvm layer \S+ 1 5 ", line)),
    )
    import numpy as np

    np.save(folder / "turned.npy", np.load(folder / "input.npy").swapaxes(-1, -2))
    yield "input", _checksums(_log(folder, "c3/new_project", "turned.npy"))
    for name, (pattern, change) in _FAULTS.items():
        project = folder / name / "new_project"
        shutil.copytree(folder / "c3/new_project", project)
        lib0 = project / "components/tvm_model/model/codegen/host/src/default_lib0.c"
        text, count = re.subn(pattern, change, lib0.read_text("utf-8"), count=1)
        assert count == 1, f"{name}: no such constant in default_lib0.c"
        lib0.write_text(text, "utf-8")
        log = _log(folder, str(project), "input.npy")
        yield name, log if name == "weight" else _checksums(log)
    _run(
        folder, "export_onnx_model.py --target_chip esp32c3 --model_path plain.onnx --img_path input.npy --out_path old"
    )
    yield "stale", _checksums(_log(folder, "old/new_project", "input.npy", "plain.onnx"))


def _log(folder: Path, project: str, sample: str, model: str = "model_quant.onnx") -> str:
    _run(folder, f"run_project.py --project {project} --model {model} --input {sample} --log log.txt")
    return (folder / "log.txt").read_text("utf-8")


def _checksums(log: str) -> str:
    """The log as `--debug checksums` prints it: a line a layer, without data."""
    lines = []
    for line in log.splitlines():
        text = line[len("~tvm ") : line.rfind(" ~")]
        if text.startswith("begin "):
            text = text.replace(" tensors ", " checksums ")
        if not text.startswith("data "):
            lines.append(f"~tvm {text} ~{zlib.crc32(text.encode()):08x}\n")
    return "".join(lines)


def main(arguments: List[str]) -> int:
    goal = arguments[0] if len(arguments) == 1 else ""
    if goal == "check":
        found = stale()
        print("\n".join(found) or "the documents show what the commands printed")
        return 1 if found else 0
    if goal == "write":
        write()
        return 0
    if goal not in ("run", "verify", "picture"):
        print(__doc__, file=sys.stderr)
        return 2
    differing = 0
    with tempfile.TemporaryDirectory(prefix="doc_outputs_") as scratch:
        # The report is titled by the folder that the project lies in.
        folder = Path(scratch) / "digits"
        folder.mkdir()
        if goal == "picture":
            _copy_digits(folder)
            for name in ("preprocess", "quantize", "export", "evaluate", "report"):
                _run(folder, COMMANDS[name])
            picture(folder)
            return 0
        for name, text in outputs(folder):
            path = OUTPUTS_FOLDER / name
            before = path.read_text("utf-8") if path.is_file() else ""
            if goal == "run":
                path.write_text(text, "utf-8")
            elif before != text:
                differing += 1
                print(
                    "".join(
                        difflib.unified_diff(
                            before.splitlines(True), text.splitlines(True), f"docs/outputs/{name}", "printed now", n=0
                        )
                    )
                )
        if goal == "run":
            picture(folder)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
