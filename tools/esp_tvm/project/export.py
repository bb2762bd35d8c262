"""The export step: a quantized ONNX model becomes a project."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx

from ..compile import compile_model
from ..compile.bridge import program_of
from ..compile.compiled import CompiledModel
from ..compile.emit_c import fallback_title, tensor_text
from ..data import load_sample
from ..evaluate import NumpyEvaluator
from ..model import inputs_of, is_quantized, load_model
from ..naming import one_line, shown
from ..operators import OPERATORS
from ..report.cores import cores_lines
from ..report.trace import HEADER_NAME, check_mode, trace_header
from .chips import Chip, check_chip, check_cores
from .fit import arena_room, check_constants, fit_chip
from .write import check_places, write_project


def export_onnx_model(
    target_chip: str,
    model_path: str,
    img_path: str,
    template_path: str,
    out_path: str,
    debug: str = "off",
    constants: str = "flash",
    vector: bool = True,
    cores: int = 1,
) -> Path:
    """Write `out_path/new_project` for `target_chip`: the model's C, the kernels, the sample and its expected output.

    debug: off, checksums or tensors: what the program prints of every kernel's output
    constants: flash, ram or partition: where weights and tables lie
    vector: take the kernels for the vector unit of the chip, if it has one (esp32s3)
    cores: 2: both cores compute, on a chip that has them (esp32, esp32s3, esp32p4)
    """
    chip = check_chip(target_chip)
    check_mode(debug)
    check_constants(constants)
    check_cores(chip, cores)
    # What the user can put right is said before the long compile.
    check_places(template_path, out_path)
    model = load_model(model_path)
    load_sample(img_path, inputs_of(model))
    compiled = with_trace(_compile(model, chip, vector, cores, constants), debug)
    fit = fit_chip(compiled, chip, constants)
    if not is_quantized(model):
        fit.notes.append(f"{model_path} is a float model and runs in float, slowly; quantize it first (make quantize)")
    if compiled.choices.splits and not chip.is_host:
        fit.sdkconfig.extend(["# The other core computes parts of the kernels.", "CONFIG_INFERENCE_TASK_CORE=1"])
    if debug != "off":
        fit.sdkconfig.append(f"CONFIG_TVM_MODEL_TRACE_{debug.upper()}=y")
    sample = load_sample(img_path, [(p.name, p.shape, p.dtype) for p in compiled.inputs])
    expected = NumpyEvaluator(compiled.imported, compiled.partitioned).run(sample).outputs
    project = write_project(compiled, sample, expected, template_path, out_path, chip.name, fit)
    print_export(compiled, project)
    for note in fit.notes:
        print(f"note: {note}")
    return project


def _compile(model: onnx.ModelProto, chip: Chip, vector: bool, cores: int, constants: str) -> CompiledModel:
    """Compiled; where two cores would need an arena beyond the internal RAM, fewer kernels are computed by both."""
    vector_chip = chip.name if vector else None
    compiled = compile_model(model, chip=vector_chip, cores=cores)
    room = arena_room(compiled, chip, constants)
    if cores == 1 or room is None or compiled.arena_bytes <= room:
        return compiled
    return compile_model(model, chip=vector_chip, cores=cores, room=room)


def print_export(compiled: CompiledModel, project: Path) -> None:
    """What went to a kernel, what did not and why, and what it takes."""
    print(f"{'kernel':<20} {'ONNX nodes':<62} {'output':<28} MAC")
    for call in compiled.calls:
        macs = OPERATORS[call.operator].macs(call)
        nodes = shown(", ".join(call.nodes), 60) if call.nodes else "(layout change)"
        print(f"{call.operator:<20} {nodes:<62} {tensor_text(call.output):<28} {macs or ''}")
    nodes = compiled.imported.nodes
    for index, why in sorted(compiled.partitioned.refusals.items()):
        if index >= 0:
            print(f"no kernel for {shown(str(nodes[index]), 80)}: {why}")
    for fallback in compiled.fallbacks.values():
        cost = f"{fallback.operations} operations in float"
        why = one_line(compiled.reason(fallback), 160)
        print(f"falls back to TVM's C, slow: {shown(fallback_title(fallback, nodes), 100)} ({cost}): {why}")
    total = sum(OPERATORS[call.operator].macs(call) for call in compiled.calls)
    if compiled.cores > 1:
        print("\n".join(cores_lines(program_of(compiled))))
    ram = compiled.arena_bytes + sum(_port_bytes(port) for port in [*compiled.inputs, *compiled.outputs])
    print(
        f"{len(compiled.calls)} kernels, {len(compiled.fallbacks)} fallbacks, {total} MAC; "
        f"arena {compiled.arena_bytes} bytes ({ram} with inputs and outputs), constants {compiled.weight_bytes} bytes"
    )
    print(f"wrote {project}")


def _port_bytes(port) -> int:
    return int(np.prod(port.shape, dtype=np.int64)) * np.dtype(port.dtype).itemsize


def with_trace(compiled: CompiledModel, mode: str) -> CompiledModel:
    """`compiled` as a program that prints its trace; unchanged when mode is off.

    Under ESP-IDF menuconfig says whether it prints; there the mode is what menuconfig starts with (project/export.py).
    """
    if mode == "off":
        return compiled
    trace = trace_header(program_of(compiled), mode)
    return dataclasses.replace(compiled, lib1=_traced_lib1(compiled.lib1), trace=trace)


def _traced_lib1(lib1: str) -> str:
    include = '#include "crt_config.h"\n'
    define = (
        "#if !defined(ESP_PLATFORM) && !defined(TVMGEN_DEFAULT_TRACE_HEADER)\n"
        f'#define TVMGEN_DEFAULT_TRACE_HEADER "{HEADER_NAME}"\n#endif\n'
    )
    head, found, tail = lib1.partition(include)
    assert found
    return head + define + found + tail
