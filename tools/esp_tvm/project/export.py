"""The export step: a quantized ONNX model becomes a project."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..compile import compile_model
from ..compile.compiled import CompiledModel
from ..compile.emit_c import fallback_title, tensor_text
from ..compile.operators import OPERATORS
from ..data import load_sample
from ..evaluate import NumpyEvaluator
from ..model import load_model
from ..naming import one_line, shown
from ..report.trace import check_mode, with_trace
from .chips import check_chip
from .fit import check_constants, fit_chip
from .write import write_project


def export_onnx_model(
    target_chip: str,
    model_path: str,
    img_path: str,
    template_path: str,
    out_path: str,
    debug: str = "off",
    constants: str = "flash",
    vector: bool = True,
) -> Path:
    """Write `out_path/new_project` for `target_chip`: the model's C, the kernels, the sample and its expected output.

    debug: off, checksums or tensors: what the program prints of every kernel's output
    constants: flash, ram or partition: where weights and tables lie
    vector: take the kernels for the vector unit of the chip, if it has one (esp32s3)
    """
    chip = check_chip(target_chip)
    check_mode(debug)
    check_constants(constants)
    model = load_model(model_path)
    compiled = with_trace(compile_model(model, chip=target_chip if vector else None), debug)
    fit = fit_chip(compiled, chip, constants)
    if debug != "off":
        fit.sdkconfig.append(f"CONFIG_TVM_MODEL_TRACE_{debug.upper()}=y")
    sample = load_sample(img_path, [(p.name, p.shape, p.dtype) for p in compiled.inputs])
    expected = NumpyEvaluator(compiled.imported, compiled.partitioned).run(sample).outputs
    project = write_project(compiled, sample, expected, template_path, out_path, target_chip, fit)
    print_export(compiled, project)
    for note in fit.notes:
        print(f"note: {note}")
    return project


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
    ram = compiled.arena_bytes + sum(_port_bytes(port) for port in [*compiled.inputs, *compiled.outputs])
    print(
        f"{len(compiled.calls)} kernels, {len(compiled.fallbacks)} fallbacks, {total} MAC; "
        f"arena {compiled.arena_bytes} bytes ({ram} with inputs and outputs), constants {compiled.weight_bytes} bytes"
    )
    print(f"wrote {project}")


def _port_bytes(port) -> int:
    return int(np.prod(port.shape, dtype=np.int64)) * np.dtype(port.dtype).itemsize
