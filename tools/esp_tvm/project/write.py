"""The project folder: the template, the kernels, the generated C, the sample and its expected output."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import onnx

from .. import __version__
from ..c_text import C_TYPES, array_lines
from ..compile.compiled import CompiledModel
from ..compile.emitting.constants import constants_offsets
from ..compile.emitting.main import arenas_of
from ..errors import UserError
from ..files import recover_folder, whole_folder
from ..naming import c_comment, shown
from ..places import TEMPLATE, template_folder
from ..program import Port, Program
from ..program.store import MODEL, save
from ..trace.header import HEADER_NAME, trace_header
from ..tvm_import import tvm
from .fit import PARTITIONS_HEAD, Fit, partition_table
from .readme import readme
from .syntax import check_syntax
from .users_files import MARKER, keep, record
from .users_files import check as check_users_files

PROJECT = "new_project"
# Options that a user's template may have set; lines of the export would come later in the file and override them.
_USERS_CHOICES = tuple(
    f"CONFIG_{name}_"
    for name in ("ESPTOOLPY_FLASHSIZE", "ESPTOOLPY_FLASHMODE", "ESPTOOLPY_FLASHFREQ", "SPIRAM_MODE", "SPIRAM_SPEED")
)


def check_places(template_path: str, out_path: str) -> Tuple[Path, Path]:
    """The template and the project to write; `UserError` if the first is not one or the second must not be replaced."""
    template, project = template_folder(template_path), Path(out_path) / PROJECT
    if not (template / "main" / "app_main.c").is_file():
        raise UserError(f"{template}: is no template project (main/app_main.c is missing); give --template_path")
    recover_folder(project)
    if project.exists() and not (project / MARKER).is_file():
        raise UserError(f"{project}: was not written by this tool and stays as it is; choose another output path")
    if project.exists():
        check_users_files(project)
    return template, project


def write_project(
    compiled: CompiledModel,
    sample: Dict[str, np.ndarray],
    expected: Dict[str, np.ndarray],
    template_path: str,
    out_path: str,
    target_chip: str,
    fit: Fit,
    debug: str = "off",
) -> Path:
    """Write `out_path/new_project`, completely or not at all; returns its path.

    sample, expected: arrays by ONNX name of the inputs and outputs.
    fit: where arena and weights are on the chip; gets a note if the template has its own partitions
    debug: what the program prints about every kernel's output if the trace is on: checksums (also for off) or tensors
    A folder of that name which this tool did not write is never replaced; of one that it wrote, files that were changed
    or added since then are kept, with a note. A README.md or a changed partitions.csv of the template stays as it is.
    """
    template, project = check_places(template_path, out_path)
    with whole_folder(project) as folder:
        shutil.copytree(template, folder, dirs_exist_ok=True, ignore=_not_copied)
        host = folder / MODEL / "codegen" / "host"
        program, code = compiled.program, compiled.code
        for name, text in (
            ("src/default_lib0.c", code.lib0),
            ("src/default_lib1.c", code.lib1),
            ("include/tvmgen_default.h", code.header),
            (f"include/{HEADER_NAME}", trace_header(program, debug if debug != "off" else "checksums")),
        ):
            (host / name).parent.mkdir(parents=True, exist_ok=True)
            (host / name).write_text(text, encoding="utf-8")
        starts = constants_offsets(program.constants)
        save(program, folder / MODEL, target_chip, code.constants_bin, starts, _versions())
        # An exported project can be a template too.
        if not (template / "README.md").exists() or (template / MARKER).exists():
            (folder / "README.md").write_text(readme(program, target_chip, fit), encoding="utf-8")
        (folder / "main" / "input_data.h").write_text(_input_data(program.callers_inputs, sample), encoding="utf-8")
        (folder / "main" / "output_data.h").write_text(_output_data(program, expected), encoding="utf-8")
        _write_partitions(folder / "partitions.csv", fit)
        lines = _new_lines(folder, target_chip, fit.sdkconfig)
        if lines:
            with open(folder / f"sdkconfig.defaults.{target_chip}", "a", encoding="utf-8") as file:
                file.write("\n".join(["# For this model.", *lines, ""]))
        untried = check_syntax(folder, program.constant_bytes)
        if untried:
            fit.notes.append(untried)
        record(folder, program.model_hash)
        kept = keep(project, folder) if project.exists() else []
    if kept:
        more = f" and {len(kept) - 5} more" if len(kept) > 5 else ""
        names = ", ".join(shown(name) for name in kept[:5])
        fit.notes.append(f"kept as you changed it: {names}{more}; move {project} away to begin anew")
    return project


def _versions() -> Dict[str, str]:
    """The versions of the tools that made the program."""
    return {"esp_tvm": __version__, "onnx": onnx.__version__, "tvm": tvm.__version__}


def _not_copied(folder: str, names: List[str]) -> List[str]:
    """Build products in a template are not copied, nor is a project that is exported into the template itself."""
    here = Path(folder)
    return [
        name
        for name in names
        if name in ("build", "__pycache__")
        or name.endswith(".pyc")
        or name.startswith(f".{PROJECT}.")
        or (here / name / MARKER).is_file()
    ]


def _write_partitions(path: Path, fit: Fit) -> None:
    """partitions.csv for the model, unless the template has the user's own."""
    ours = ((TEMPLATE / "partitions.csv").read_text("utf-8"), PARTITIONS_HEAD)
    if path.exists() and not path.read_text("utf-8", "replace").startswith(ours):
        constants = f", and 'constants' {fit.constants_bytes:#x} where the weights lie there" * bool(
            fit.constants_bytes
        )
        fit.notes.append(
            f"the template's own partitions.csv stays; the app partition needs {fit.app_bytes:#x} bytes{constants}"
        )
    else:
        path.write_text(partition_table(fit), encoding="utf-8")


def _new_lines(folder: Path, target_chip: str, lines: Sequence[str]) -> List[str]:
    """`lines` without the options that the template's sdkconfig.defaults set."""
    files = [folder / "sdkconfig.defaults", folder / f"sdkconfig.defaults.{target_chip}"]
    made = [line.strip() for file in files if file.is_file() for line in file.read_text("utf-8").splitlines()]
    users = [one for one in _USERS_CHOICES if any(line.startswith(one) and line.endswith("=y") for line in made)]
    return [line for line in lines if not line.startswith(tuple(users))]


def _names(kind: str, ports: Sequence[Port]) -> List[str]:
    """`input_data` when there is one, else `input_data_<name>`."""
    return [f"{kind}_data" if len(ports) == 1 else f"{kind}_data_{port.c_name}" for port in ports]


def _definition(qualifiers: str, name: str, port: Port, array: np.ndarray) -> str:
    lines = array_lines(np.asarray(array, dtype=port.dtype))
    head = f"{qualifiers} {C_TYPES[port.dtype]} {name}[{array.size}] __attribute__((aligned(16))) = {{"
    shape = ",".join(map(str, port.shape))
    return "\n".join([f'/* "{c_comment(port.name)}": {port.dtype}[{shape}] */', head, *lines, "};", ""])


def _header(guard: str, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f"#ifndef {guard}\n#define {guard}\n",
            '#include "crt_config.h"\n#include "tvmgen_default.h"\n\n#include <math.h>\n',
            *parts,
            "#endif\n",
        ]
    )


def _buffer(kind: str, name: str, port: Port) -> str:
    """The application's buffer for a port, in the memory chosen in menuconfig."""
    head = f"static TVMGEN_DEFAULT_{kind}_ATTRIBUTE {C_TYPES[port.dtype]} {name}[{port.elements}]"
    return f"{head} __attribute__((aligned(16), unused));\n"


def _fields(names: Sequence[str], ports: Sequence[Port], cast: str = "") -> str:
    return ", ".join(f".{port.c_name} = {cast}{name}" for name, port in zip(names, ports))


def _input_data(ports: Sequence[Port], sample: Dict[str, np.ndarray]) -> str:
    names = _names("input", ports)
    buffers = [name.replace("input_data", "input_buffer", 1) for name in names]
    parts = ["/* The sample that the model was exported with, in flash, and memory for input of your own. */"]
    for name, buffer, port in zip(names, buffers, ports):
        parts += [_definition("static const", name, port, sample[port.name]), _buffer("INPUT", buffer, port)]
    fills = "; ".join(f"fill({buffer}, {name})" for name, buffer in zip(names, buffers))
    parts.append("/* The model only reads its inputs. */")
    parts.append(f"#define MODEL_INPUTS {{{_fields(names, ports, '')}}}")
    parts.append(f"#define MODEL_INPUT_BUFFERS {{{_fields(buffers, ports)}}}")
    parts.append(f"#define FILL_MODEL_INPUTS(fill) do {{ {fills}; }} while (0)\n")
    return _header("INPUT_DATA_H", parts)


def _output_data(program: Program, expected: Dict[str, np.ndarray]) -> str:
    inputs, ports = program.callers_inputs, program.callers_outputs
    names = _names("output", ports)
    parts = ["/* Where the outputs go, and what the reference computes for the sample. */"]
    for name, port in zip(names, ports):
        parts += [
            _buffer("OUTPUT", name, port),
            _definition("static const", f"expected_{name}", port, expected[port.name]),
        ]
    checks = "; ".join(f'check("{port.c_name}", {name}, expected_{name})' for name, port in zip(names, ports))
    parts.append(f"#define MODEL_OUTPUTS {{{_fields(names, ports)}}}")
    arguments = [f"inputs->{port.c_name}" for port in inputs] + [f"outputs->{port.c_name}" for port in ports]
    call = f"tvmgen_default___tvm_main__({', '.join([*arguments, *arenas_of(program)])})"
    if program.states:
        call = f"tvmgen_default_run_in({', '.join([*arenas_of(program), 'inputs', 'outputs'])})"
    second = ""
    if program.psram_arena_bytes:
        second = (
            "    static TVMGEN_DEFAULT_PSRAM_WORKSPACE_ATTRIBUTE uint8_t\n"
            "        psram_workspace[TVMGEN_DEFAULT_PSRAM_WORKSPACE_SIZE] __attribute__((aligned(16)));\n"
        )
    parts.append(
        "/* tvmgen_default_run with an arena of the caller's: TVMGEN_DEFAULT_WORKSPACE_SIZE bytes, aligned to 16. */\n"
        "static inline int32_t run_model_in(uint8_t *workspace, struct tvmgen_default_inputs *inputs,\n"
        "                                   struct tvmgen_default_outputs *outputs)\n{\n"
        f"{second}    return {call};\n}}\n"
    )
    parts.append(f"#define CHECK_MODEL_OUTPUTS(check) do {{ {checks}; }} while (0)\n")
    return _header("OUTPUT_DATA_H", parts)
