#!/usr/bin/env python3
"""How much less one core has to compute when both do: instructions of every layer, counted in an emulator.

cores.py model_quant.onnx sample.npy

The program for two cores runs on the emulator's one: each part is counted by itself. What follows each other is, of a
layer in two parts, the larger one. Starting a part and waiting for it are not in the counts, nor is waiting for memory
that both cores share: not measured on a board.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests"), str(ROOT / "bench")]

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from bench_esp32s3 import load_quantized  # noqa: E402
from tables import print_table  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.c_text import tensor_text  # noqa: E402
from esp_tvm.chips import check_chip  # noqa: E402
from esp_tvm.compile import CompiledModel, compile_model  # noqa: E402
from esp_tvm.compile.kernels.esp32s3 import CHIP  # noqa: E402
from esp_tvm.compile.planning.cores import FORK_JOIN  # noqa: E402
from esp_tvm.data import load_sample  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.program import Call  # noqa: E402
from esp_tvm.project.fit import fit_chip  # noqa: E402
from esp_tvm.project.write import write_project  # noqa: E402
from esp_tvm.run import esp32s3  # noqa: E402
from esp_tvm.run.machines import RISCV, XTENSA, Machine, require  # noqa: E402
from esp_tvm.run.qemu import EmulatedProgram  # noqa: E402

# In place of cores.c: what the other core computes is taken from the counter.
_CORES = """\
#include "esp_dl_cores.h"

#include <stdint.h>

uint32_t on_the_other_core;

{counter}
void esp_dl_begin_part(const esp_dl_part_t *part)
{{
    const uint32_t before = instructions();
    part->run(part);
    on_the_other_core += instructions() - before;
}}

void esp_dl_finish_part(const esp_dl_part_t *part)
{{
    (void)part;
}}

uint8_t *used(void);

uint8_t *used(void)
{{
    return stack_pointer();
}}
"""

# For the ESP32-S3: one after the other, all counted; and the counter put back to where it was before the other's part.
_BOTH = """#include "esp_dl_cores.h"

void esp_dl_begin_part(const esp_dl_part_t *part)
{
    part->run(part);
}

void esp_dl_finish_part(const esp_dl_part_t *part)
{
    (void)part;
}
"""
_CALLING = _BOTH.replace(
    "    part->run(part);\n",
    """\
    unsigned before;
    __asm__ volatile("rsr.ccount %0" : "=r"(before)::"memory");
    part->run(part);
    __asm__ volatile("wsr.ccount %0\\n rsync" : : "r"(before) : "memory");
""",
)


class CallingCore(EmulatedProgram):
    """The program for two cores, of which the instructions of the calling one are counted."""

    def __init__(self, project: Path, machine: Machine):
        self._cores = project / "components/esp-dl/src/common/cores.c"
        self._cores.write_text(_CORES.format(counter=machine.counter), encoding="utf-8")
        counter = machine.counter.replace("return value;", "return value - on_the_other_core;", 1)
        super().__init__(project, machine=replace(machine, counter=f"extern uint32_t on_the_other_core;\n{counter}"))


def check(outputs: Dict[str, np.ndarray], expected: Dict[str, np.ndarray]) -> None:
    """Raise a UserError where the outputs are not the reference's."""
    for name, array in expected.items():
        if outputs[name].tobytes() != np.ascontiguousarray(array).tobytes():
            raise UserError(f"output {name} differs from the reference")


def steps_of(project: Path, machine: Machine, samples: Dict[str, np.ndarray], expected: Dict[str, np.ndarray], kind):
    """Instructions of every step; the outputs are checked."""
    program = kind(project, machine=machine)
    outputs, counts = program.measure(samples)
    check({name: array[0] for name, array in outputs.items()}, expected)
    return counts[0].steps


def measure(one: CompiledModel, two: CompiledModel, sample: Dict[str, np.ndarray], machine: Machine) -> List[List[int]]:
    """[on one core, of two cores the calling one, the other one], for every step."""
    expected = NumpyEvaluator(one.imported, one.partitioned).run(sample).outputs
    samples = {name: array[None] for name, array in sample.items()}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, compiled, kind in (("one", one, EmulatedProgram), ("both", two, EmulatedProgram)):
            fit = fit_chip(compiled, check_chip("host"))
            template = ROOT / "template_project_for_model"
            project = write_project(compiled, sample, expected, str(template), f"{folder}/{name}", "host", fit)
            rows.append(steps_of(project, machine, samples, expected, kind))
        rows.append(steps_of(project, machine, samples, expected, CallingCore))
    return _parts(*rows)


def measure_vectors(one: CompiledModel, two: CompiledModel, sample: Dict[str, np.ndarray]) -> List[List[int]]:
    """The same with the ESP32-S3's vector kernels."""
    expected = NumpyEvaluator(one.imported, one.partitioned).run(sample).outputs
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        components = shutil.copytree(ROOT / "template_project_for_model/components", f"{folder}/components")
        for number, (compiled, text) in enumerate(((one, _BOTH), (two, _BOTH), (two, _CALLING))):
            (Path(components) / "esp-dl/src/common/cores.c").write_text(text, encoding="utf-8")
            place = Path(folder, str(number))
            place.mkdir()
            outputs, counts = esp32s3.run_model(compiled, sample, Path(components) / "esp-dl", place)
            check(outputs, expected)
            rows.append(counts)
    return _parts(*rows)


def _parts(whole: List[int], both: List[int], calling: List[int]) -> List[List[int]]:
    return [[w, c, max(b - c, 0)] for w, b, c in zip(whole, both, calling)]


@dataclass(frozen=True)
class Counted:
    """What one machine takes. counts: [on one core, of two cores the calling one, the other one] of every step."""

    machine: str
    one: CompiledModel
    two: CompiledModel
    counts: List[List[int]]

    def larger(self, call: Call) -> int:
        """Instructions that the cores take together for a call: of one in two parts, the larger part."""
        _, calling, other = self.counts[call.index]
        return max(calling, other) if call.split is not None else calling

    @property
    def total(self) -> int:
        """On one core."""
        return sum(whole for whole, _, _ in self.counts)

    @property
    def follow(self) -> int:
        """On the busier of both."""
        return sum(map(self.larger, self.two.program.calls()))

    @property
    def added(self) -> int:
        """The same, with an assumption for every start and end of a part."""
        return self.follow + FORK_JOIN * sum(call.split is not None for call in self.two.program.calls())

    @property
    def arenas(self) -> Tuple[int, int]:
        """Bytes for one core, and for two."""
        return self.one.program.arena_bytes, self.two.program.arena_bytes


def counted(model: onnx.ModelProto, sample_path: str) -> Iterator[Counted]:
    """Both programs of a quantized model, on each machine that is there."""
    one, two = compile_model(model), compile_model(model, cores=2)
    sample = load_sample(sample_path, [(port.name, port.shape, port.dtype) for port in one.program.inputs])
    for machine in [RISCV] + ([] if XTENSA.missing() else [XTENSA]):
        yield Counted(machine.name, one, two, measure(one, two, sample, machine))
    with tempfile.TemporaryDirectory() as folder:
        reason = esp32s3.why_not(Path(folder))
    one, two = compile_model(model, chip=CHIP), compile_model(model, chip=CHIP, cores=2)
    if reason:
        print(f"ESP32-S3: left out, {reason}")
    else:
        yield Counted("ESP32-S3", one, two, measure_vectors(one, two, sample))


def main() -> None:
    if len(sys.argv) != 3:
        raise UserError("give a quantized model and a sample: make bench-cores MODEL=model_quant.onnx SAMPLE=x.npy")
    require(RISCV)
    for one in counted(load_quantized(sys.argv[1]), sys.argv[2]):
        show(one)


def show(found: Counted) -> None:
    """Print the table of a machine."""
    print(f"{found.machine}, instructions\n")
    rows = []
    for call in found.two.program.calls():
        if call.split is not None:
            whole, calling, other = found.counts[call.index]
            cells = [call.title, tensor_text(call.writes[0]), call.split.text, whole, calling, other]
            rows.append([*map(str, cells), f"{found.larger(call) / whole:.2f}"])
    print_table("step | output | parts | one core | calling core | other core | larger part of one core's", rows)
    one, two = found.arenas
    print(
        f"\none core {found.total}, the busier of both {found.follow}: {found.follow / found.total:.3f}, "
        f"{found.total / found.follow:.2f} times as fast; with {FORK_JOIN} instructions for every start and end "
        f"{found.total / found.added:.2f} times; arena {one} bytes, for two cores {two}; "
        "not measured on a board\n"
    )


if __name__ == "__main__":
    cli.run(main)
