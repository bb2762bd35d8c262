"""The project folder: the template, the kernels, the generated C, the sample and its expected output."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np

from ..compile.compiled import CompiledModel, ModelPort
from ..compile.emit_c import C_TYPES, array_lines
from ..compile.metadata import describe
from ..errors import UserError
from ..files import whole_folder
from ..naming import c_comment
from ..report.trace import HEADER_NAME, trace_header
from .fit import Fit, partition_table
from .readme import readme

PROJECT = "new_project"
# Says that this tool wrote the folder, and so may replace it.
MARKER = ".esp_tvm_project"
MODEL = Path("components/tvm_model/model")


def write_project(
    compiled: CompiledModel,
    sample: Dict[str, np.ndarray],
    expected: Dict[str, np.ndarray],
    template_path: str,
    out_path: str,
    target_chip: str,
    fit: Fit,
) -> Path:
    """Write `out_path/new_project`, whole or not at all; returns its path.

    sample, expected: arrays by ONNX name of the inputs and outputs.
    fit: where arena and weights go on the chip
    A folder of that name which this tool did not write is never replaced.
    """
    template, project = Path(template_path), Path(out_path) / PROJECT
    if not (template / "main" / "app_main.c").is_file():
        raise UserError(f"{template}: is no template project (main/app_main.c is missing); give --template_path")
    if project.exists() and not (project / MARKER).is_file():
        raise UserError(f"{project}: was not written by this tool and stays as it is; choose another output path")
    with whole_folder(project) as folder:
        shutil.copytree(template, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build", "*.pyc"))
        host = folder / MODEL / "codegen" / "host"
        metadata = {**describe(compiled), "target_chip": target_chip}
        for name, text in (
            ("src/default_lib0.c", compiled.lib0),
            ("src/default_lib1.c", compiled.lib1),
            ("include/tvmgen_default.h", compiled.header),
            (f"include/{HEADER_NAME}", compiled.trace or trace_header(metadata, "checksums")),
        ):
            (host / name).parent.mkdir(parents=True, exist_ok=True)
            (host / name).write_text(text, encoding="utf-8")
        (folder / MODEL / "constants.bin").write_bytes(compiled.constants_bin)
        (folder / "README.md").write_text(readme(compiled, target_chip, fit), encoding="utf-8")
        (folder / MODEL / "metadata.json").write_text(json.dumps(metadata, indent=1) + "\n", encoding="utf-8")
        (folder / "main" / "input_data.h").write_text(_input_data(compiled.inputs, sample), encoding="utf-8")
        (folder / "main" / "output_data.h").write_text(
            _output_data(compiled.inputs, compiled.outputs, expected), encoding="utf-8"
        )
        (folder / "partitions.csv").write_text(partition_table(fit), encoding="utf-8")
        if fit.sdkconfig:
            with open(folder / f"sdkconfig.defaults.{target_chip}", "a", encoding="utf-8") as file:
                file.write("\n".join(["# For this model.", *fit.sdkconfig, ""]))
        (folder / MARKER).write_text(f"{compiled.model_hash}\n", encoding="utf-8")
    return project


def _names(kind: str, ports: Sequence[ModelPort]) -> List[str]:
    """`input_data` when there is one, else `input_data_<name>`."""
    return [f"{kind}_data" if len(ports) == 1 else f"{kind}_data_{port.c_name}" for port in ports]


def _definition(qualifiers: str, name: str, port: ModelPort, array: np.ndarray) -> str:
    lines = array_lines(np.asarray(array, dtype=port.dtype))
    head = f"{qualifiers} {C_TYPES[port.dtype]} {name}[{array.size}] __attribute__((aligned(16))) = {{"
    shape = ",".join(map(str, port.shape))
    return "\n".join([f'/* "{c_comment(port.name)}": {port.dtype}[{shape}] */', head, *lines, "};", ""])


# Buffers lie where the arena lies: what does not fit internal RAM goes to PSRAM together.
_MEMORY = "MODEL_BUFFER"
_MEMORY_MACRO = f"""#ifndef {_MEMORY}
#ifdef TVMGEN_DEFAULT_WORKSPACE_ATTRIBUTE
#define {_MEMORY} TVMGEN_DEFAULT_WORKSPACE_ATTRIBUTE
#else
#define {_MEMORY}
#endif
#endif
"""


def _header(guard: str, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f"#ifndef {guard}\n#define {guard}\n",
            '#include "crt_config.h"\n#include "tvmgen_default.h"\n\n#include <math.h>\n',
            _MEMORY_MACRO,
            *parts,
            "#endif\n",
        ]
    )


def _buffer(name: str, port: ModelPort) -> str:
    size = int(np.prod(port.shape, dtype=np.int64))
    return f"static {_MEMORY} {C_TYPES[port.dtype]} {name}[{size}] __attribute__((aligned(16), unused));\n"


def _fields(names: Sequence[str], ports: Sequence[ModelPort], cast: str = "") -> str:
    return ", ".join(f".{port.c_name} = {cast}{name}" for name, port in zip(names, ports))


def _input_data(ports: Sequence[ModelPort], sample: Dict[str, np.ndarray]) -> str:
    names = _names("input", ports)
    buffers = [name.replace("input_data", "input_buffer", 1) for name in names]
    parts = ["/* The sample that the model was exported with, in flash, and memory for input of your own. */"]
    for name, buffer, port in zip(names, buffers, ports):
        parts += [_definition("static const", name, port, sample[port.name]), _buffer(buffer, port)]
    fills = "; ".join(f"fill({buffer}, {name})" for name, buffer in zip(names, buffers))
    parts.append("/* The model only reads its inputs. */")
    parts.append(f"#define MODEL_INPUTS {{{_fields(names, ports, '(void *)')}}}")
    parts.append(f"#define MODEL_INPUT_BUFFERS {{{_fields(buffers, ports)}}}")
    parts.append(f"#define FILL_MODEL_INPUTS(fill) do {{ {fills}; }} while (0)\n")
    return _header("INPUT_DATA_H", parts)


def _output_data(inputs: Sequence[ModelPort], ports: Sequence[ModelPort], expected: Dict[str, np.ndarray]) -> str:
    names = _names("output", ports)
    parts = ["/* Where the outputs go, and what the reference computes for the sample. */"]
    for name, port in zip(names, ports):
        parts += [_buffer(name, port), _definition("static const", f"expected_{name}", port, expected[port.name])]
    checks = "; ".join(f'check("{port.c_name}", {name}, expected_{name})' for name, port in zip(names, ports))
    parts.append(f"#define MODEL_OUTPUTS {{{_fields(names, ports)}}}")
    arguments = [f"inputs->{port.c_name}" for port in inputs] + [f"outputs->{port.c_name}" for port in ports]
    parts.append(
        "/* tvmgen_default_run with an arena of the caller's: TVMGEN_DEFAULT_WORKSPACE_SIZE bytes, aligned to 16. */\n"
        "static inline int32_t run_model_in(uint8_t *workspace, struct tvmgen_default_inputs *inputs,\n"
        "                                   struct tvmgen_default_outputs *outputs)\n{\n"
        f"    return tvmgen_default___tvm_main__({', '.join(arguments)}, workspace);\n}}\n"
    )
    parts.append(f"#define CHECK_MODEL_OUTPUTS(check) do {{ {checks}; }} while (0)\n")
    return _header("OUTPUT_DATA_H", parts)
