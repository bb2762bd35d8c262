"""The command emulate: runs the program on an emulated RISC-V, compares its outputs and counts instructions."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ..chips import CHIPS
from ..errors import UserError
from ..files import write_text
from ..model import load_model
from ..naming import shown
from ..program.store import load
from ..terminal import Table, show
from .compare import differing_bytes
from .emulator_log import EmulatedLog
from .qemu import EmulatedProgram
from .reference import Reference, check_same_model, load_steps

# The chips that `idf.py qemu` supports; scripts/emulate.sh uses it for them if it is installed.
IDF_QEMU = ("esp32", "esp32c3", "esp32s3")


def check_emulator(name: str) -> None:
    """Refuse a chip (of CHIPS) whose instructions the emulated RISC-V does not have."""
    chip = CHIPS.get(name)
    if chip is None or chip.is_riscv or chip.is_host:
        return
    who = (
        "ESP-IDF's QEMU alone emulates; activate ESP-IDF 5.3 or later, or" if name in IDF_QEMU else "no QEMU emulates;"
    )
    raise UserError(f"{name} is an Xtensa chip ({chip.cpu}), which {who} take a RISC-V chip: TARGET=esp32c3")


def emulate_project(
    project: str, model_path: str, input_path: str, log_path: Optional[str] = None, log_mode: str = "checksums"
) -> int:
    """Run all samples for RV32IMC in QEMU; 0 if every byte of the outputs equals the NumPy rules, otherwise 1.

    log_path: the file for what the project would print with the trace, in mode `log_mode`
    """
    check_emulator(load(Path(project)).target_chip)
    model = load_model(model_path)
    program = EmulatedProgram(project)
    check_same_model(program.program, program.project, model)
    samples = load_steps(input_path, program.program, program.project)
    if log_path is not None:
        write_text(log_path, EmulatedLog(project, log_mode).log(samples))
    outputs, counts = program.measure(samples)
    reference = Reference(program.program, program.project)
    equal, wrong = 0, 0
    for index in range(len(counts)):
        expected = reference.evaluation({name: array[index] for name, array in samples.items()}).outputs
        differing = sum(differing_bytes(outputs[name][index], expected[name]) for name in expected)
        equal, wrong = equal + (differing == 0), wrong + differing
    print_counts(program, counts[-1])
    verdict = "PASS" if wrong == 0 else "FAIL"
    print(f"{verdict}: {equal} of {len(counts)} samples equal in every output, {wrong} differing bytes")
    return 0 if wrong == 0 else 1


def print_counts(program: EmulatedProgram, counts) -> None:
    """Instructions of one inference, kernel by kernel."""
    rows = []
    for call in program.program.calls():
        if call.is_view:
            continue
        instructions = counts.steps[call.index]
        nodes = shown(", ".join(call.all_nodes), 60) or "(layout change)"
        per_mac = f"{instructions / call.macs:.2f}" if call.macs else ""
        rows.append((call.title, nodes, instructions, per_mac))
    show(Table(("kernel", "ONNX nodes", "instructions", "per MAC"), rows, "llrr"))
    print(f"{counts.instructions} instructions an inference on RV32IMC, {counts.stack_bytes} bytes of stack")
