"""Measures one model: quantized, exported, built for RV32IMC, run in the emulator and on this computer."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import onnx
import vector

from esp_tvm.chips import check_chip
from esp_tvm.compile import compile_model
from esp_tvm.errors import UserError
from esp_tvm.estimate.work import work_of
from esp_tvm.evaluate import NumpyEvaluator
from esp_tvm.program import Program
from esp_tvm.project.fit import fit_chip
from esp_tvm.project.write import write_project
from esp_tvm.quantize import Passes, quantize_model
from esp_tvm.run.host import CFLAGS, HostProgram, host_compiler
from esp_tvm.run.machines import RISCV, XTENSA, Machine
from esp_tvm.run.objects import kernel_archive
from esp_tvm.run.qemu import EmulatedProgram, compile_objects

REPO = Path(__file__).resolve().parent.parent
TEMPLATE = REPO / "template_project_for_model"
# So many multiply-accumulates are timed on the host, a fraction of a second of fast kernels.
HOST_MACS = 1e8
# A chip without kernels of its own, with PSRAM: everything fits.
CHIP = "esp32"


COMPONENT = TEMPLATE / "components" / "esp-dl"


class Kernels:
    """The kernels, compiled once for all models: object files for the emulated machines, an archive for the host.

    objects: by machine; without the Xtensa where its tools are not installed
    """

    def __init__(self, machines: Sequence[Machine] = (RISCV, XTENSA)):
        self._folder = tempfile.TemporaryDirectory(prefix="esp_tvm_kernels_")
        folder, sources = Path(self._folder.name), sorted((COMPONENT / "src").rglob("*.c"))
        includes = [COMPONENT / "include", COMPONENT / "src"]
        self.objects: Dict[Machine, List[Path]] = {}
        for machine in machines:
            if not machine.missing():
                (folder / machine.prefix).mkdir()
                self.objects[machine] = compile_objects(sources, includes, folder / machine.prefix, machine=machine)
        self.archive = kernel_archive(COMPONENT, [*host_compiler(), *CFLAGS], folder)


class HostWithKernels(HostProgram):
    """A project for the host, linked with kernels that are compiled already."""

    def __init__(self, project: Path, kernels: Kernels):
        self._kernels = kernels
        super().__init__(project)

    def kernels(self) -> Path:
        return self._kernels.archive


class Mismatch(Exception):
    """Emulator and host do not agree."""


@dataclass
class Subject:
    """A quantized model and the samples it is run on: {input: [N, *shape]}."""

    name: str
    model: onnx.ModelProto
    samples: Dict[str, np.ndarray]


def quantize_quickly(model: onnx.ModelProto, samples: Dict[str, np.ndarray], int16: str = "") -> onnx.ModelProto:
    """For layers, operators and figures of memory: exponents that cover all values, nothing searched for.

    int16: the names of tensors of int16, with commas between
    """
    return quantize_model(model, samples, Passes(method="minmax", equalize=False, fit=False, int16=int16)).model


def measure(
    subject: Subject, folder: Path, kernels: Kernels, host: bool = True, on_esp32s3: bool = False, log=print
) -> Dict[str, Any]:
    """All figures of a model; `folder` takes the generated project. Raises `Mismatch` where outputs differ.

    host: also time it on this computer; on_esp32s3: also count instructions there, with its vector kernels
    """
    started = time.time()
    compiled = compile_model(subject.model)
    exported = time.time() - started
    project = project_of(compiled, subject, folder / "fast")
    emulated = EmulatedProgram(project, kernels.objects[RISCV])
    on_host = HostWithKernels(project, kernels)
    outputs, counts = emulated.measure(subject.samples)
    expected = on_host.run(subject.samples)
    equal(subject, expected, outputs, "emulator and host")
    sizes = emulated.sizes()
    # Of the compiled program, not of what was read back: only that one's kernels say how weights were packed.
    steps = _steps(compiled.program, counts[-1].steps)
    result: Dict[str, Any] = {
        "macs": emulated.program.macs,
        "instructions": counts[-1].instructions,
        "arena_bytes": compiled.program.arena_bytes,
        "stack_bytes": max(count.stack_bytes for count in counts),
        "code_bytes": sizes.code,
        "rodata_bytes": sizes.rodata,
        "weight_bytes": sizes.weights,
        "data_bss_bytes": sizes.data + sizes.bss,
        "instructions_spread": _spread([count.instructions for count in counts]),
        "compile_seconds": round(exported, 1),
        "steps": steps,
    }
    if XTENSA in kernels.objects:
        xtensa, xtensa_counts = EmulatedProgram(project, kernels.objects[XTENSA], XTENSA).measure(subject.samples)
        equal(subject, expected, xtensa, "the emulated Xtensa and the host")
        result["xtensa_instructions"] = xtensa_counts[-1].instructions
        for step, count in zip(steps, _steps(compiled.program, xtensa_counts[-1].steps)):
            step["xtensa_instructions"] = count["instructions"]
    if on_esp32s3:
        last = {name: array[-1] for name, array in subject.samples.items()}
        result["esp32s3"] = vector.measure_model(subject.model, last, {k: array[-1] for k, array in expected.items()})
    if host:
        plain = project_of(compile_model(subject.model, fast=False), subject, folder / "plain")
        plain_host = HostWithKernels(plain, kernels)
        equal(subject, expected, plain_host.run(subject.samples), "plain and fast kernels")
        runs = int(min(max(HOST_MACS / max(result["macs"], 1), 10), 3000))
        own, other = _seconds(on_host, subject, runs), _seconds(plain_host, subject, runs)
        result["host_nanoseconds"] = int(own * 1e9)
        result["host_speed_to_plain_c"] = round(other / own, 2)
    log(f"{subject.name}: {result['instructions']} instructions, {result['arena_bytes']} bytes of arena")
    return result


def project_of(compiled, subject: Subject, folder: Path) -> Path:
    """Write the generated project of a model into `folder`."""
    sample = {name: array[0] for name, array in subject.samples.items()}
    expected = NumpyEvaluator(compiled.imported, compiled.partitioned).run(sample).outputs
    folder.mkdir(parents=True, exist_ok=True)
    fit = fit_chip(compiled, check_chip(CHIP))
    return write_project(compiled, sample, expected, str(TEMPLATE), str(folder), CHIP, fit)


def equal(subject: Subject, one: Dict[str, np.ndarray], other: Dict[str, np.ndarray], between: str) -> None:
    """Raise `Mismatch` where outputs differ in a byte."""
    for name, array in one.items():
        if other[name].tobytes() != array.tobytes():
            raise Mismatch(f"{subject.name}: output {name} differs between {between}")


def _seconds(program: HostProgram, subject: Subject, runs: int) -> float:
    """Seconds of one inference on this computer: the best of three, start and pipes taken off."""
    best: Optional[float] = None
    for _ in range(3):
        times: List[float] = []
        for count in (1, 1 + runs):
            samples = {name: np.repeat(array[:1], count, axis=0) for name, array in subject.samples.items()}
            started = time.perf_counter()
            program.run(samples)
            times.append(time.perf_counter() - started)
        once = (times[1] - times[0]) / runs
        if once > 0 and (best is None or once < best):
            best = once
    if best is None:
        raise UserError(f"{subject.name}: the computer is too busy to time {runs} inferences; run the bench again")
    return best


def _spread(values: List[int]) -> float:
    """(most - least) / least over the samples."""
    return round((max(values) - min(values)) / min(values), 5)


def _steps(program: Program, counts: List[int]) -> List[Dict[str, Any]]:
    """What each call took."""
    calls = [call for call in program.calls() if not call.is_view]
    steps = []
    for call, step in zip(calls, choices(program)):
        first = {name: step.pop(name) for name in ("operator", "kernel", "macs")}
        steps.append({**first, "instructions": counts[call.index], **step})
    return steps


def choices(program: Program) -> List[Dict[str, Any]]:
    """What was chosen for each call: its kernel, and what this has to compute."""
    steps = []
    for call in program.calls():
        if call.is_view:
            continue
        operator = (call.followers or [call])[-1].operator or "fallback"
        step: Dict[str, Any] = {"operator": operator, "kernel": call.kernel, "macs": call.macs}
        step["output"] = None if call.is_fallback else list(call.writes[0].shape)
        work = None if call.is_fallback else work_of(call)
        step["taps"] = 1 if work is None else work.taps
        if work is not None and work.pieces:
            step["pieces"] = work.pieces
        if work is not None and work.alone:
            step["alone"] = work.alone
        if work is not None and work.stride > 1:
            step["stride"] = work.stride
        steps.append(step)
    return steps


# What is counted, not chosen.
_COUNTED = ("instructions", "xtensa_instructions")


def other_choices(subject: Subject, measured: Dict[str, Any]) -> List[str]:
    """What is chosen for a model today that is not what was counted: lines, none where all is the same.

    measured: its figures in results.json
    """
    program = compile_model(subject.model).program
    now = choices(program)
    before = [{k: v for k, v in step.items() if k not in _COUNTED} for step in measured["steps"]]
    lines = []
    if len(now) != len(before):
        lines.append(f"{len(now)} steps, {len(before)} were counted")
    for index, (step, old) in enumerate(zip(now, before)):
        if step != old:
            changed = [key for key in {**old, **step} if step.get(key) != old.get(key)]
            words = [f"{key} {step.get(key)} (counted: {old.get(key)})" for key in changed]
            lines.append(f"step {index}, {step['operator']}: " + ", ".join(words))
    if program.arena_bytes != measured["arena_bytes"]:
        lines.append(f"{program.arena_bytes} bytes of arena (counted: {measured['arena_bytes']})")
    return lines
