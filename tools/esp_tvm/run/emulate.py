"""What `make emulate` does: the program on an emulated RISC-V, its outputs and its instruction counts."""

from __future__ import annotations

from typing import Optional

from ..compile.import_onnx import import_onnx
from ..compile.partition import partition
from ..data import load_samples
from ..evaluate import NumpyEvaluator
from ..files import write_text
from ..model import load_model
from ..naming import shown
from ..report.emulator_log import EmulatedLog
from .compare import check_same_model, differing_bytes
from .qemu import EmulatedProgram


def emulate_project(
    project: str, model_path: str, input_path: str, log_path: Optional[str] = None, log_mode: str = "checksums"
) -> int:
    """Run all samples for RV32IMC in QEMU; 0 when every byte of the outputs is what the NumPy rules give, else 1.

    log_path: where to write what the project would print with the trace in it, in mode `log_mode`
    """
    model = load_model(model_path)
    imported = import_onnx(model)
    samples = load_samples(input_path, [(p.name, p.shape, p.dtype) for p in imported.inputs])
    program = EmulatedProgram(project)
    check_same_model(program, model)
    if log_path is not None:
        write_text(log_path, EmulatedLog(project, log_mode).log(samples))
    outputs, counts = program.measure(samples)
    evaluator = NumpyEvaluator(imported, partition(imported))
    equal, wrong = 0, 0
    for index in range(len(counts)):
        expected = evaluator.run({name: array[index] for name, array in samples.items()}).outputs
        differing = sum(differing_bytes(outputs[name][index], expected[name]) for name in expected)
        equal, wrong = equal + (differing == 0), wrong + differing
    print_counts(program, counts[-1])
    verdict = "PASS" if wrong == 0 else "FAIL"
    print(f"{verdict}: {equal} of {len(counts)} samples equal in every output, {wrong} differing bytes")
    return 0 if wrong == 0 else 1


def print_counts(program: EmulatedProgram, counts) -> None:
    """Instructions of one inference, kernel by kernel."""
    print(f"{'kernel':<26} {'ONNX nodes':<62} {'instructions':>12}  per MAC")
    for call in program.metadata["calls"]:
        if not call["traced"]:
            continue
        instructions, macs = counts.steps[call["index"]], call.get("macs", 0)
        nodes = shown(", ".join(call["nodes"]), 60) if call["nodes"] else "(layout change)"
        per_mac = f"{instructions / macs:.2f}" if macs else ""
        print(f"{call.get('operator', 'TVM'):<26} {nodes:<62} {instructions:>12}  {per_mac}")
    print(f"{counts.instructions} instructions an inference on RV32IMC, {counts.stack_bytes} bytes of stack")
