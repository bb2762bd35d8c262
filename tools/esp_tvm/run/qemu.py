"""The generated C and the kernels, compiled for RV32IMC (the ESP32-C3's instruction set) or Xtensa and run in QEMU."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..children import run_child
from ..errors import UserError
from .driver import fill, first_error, sample_bytes
from .host import KERNELS, HostProgram
from .machines import RISCV, Machine, require

CFLAGS = ("-O2", "-std=gnu11", "-ffunction-sections", "-fdata-sections", "-ffp-contract=off", "-Wall", "-Wextra")
TIMEOUT = 1800

# For measuring: code, constants, data and bss each in a section of its own.
_SECTIONS = """\
SECTIONS
{
    .text 0x10000 : { *(.literal .text .literal.* .text.*) }
    .rodata : { *(.rodata .rodata.* .srodata .srodata.*) }
    .data : { *(.data .data.* .sdata .sdata.*) }
    .bss : { *(.bss .bss.* .sbss .sbss.* COMMON) }
}
"""

_TRACE = """\
#include <stddef.h>
void emulator_trace(int index, const void *data, size_t size);
#define TVMGEN_DEFAULT_TRACE(index, data, size) emulator_trace(index, data, size)
#define TVMGEN_DEFAULT_TRACE_ROWS(index, data, size) emulator_trace(index, data, size)
"""

_DRIVER = """\
/* Reads samples from input.bin; writes the outputs to output.bin and per sample the counts to counts.bin:
 * instructions of the inference, peak bytes of stack, instructions of each step. */
#include "tvmgen_default.h"

#include <stdio.h>
#include <string.h>

#define STEPS {steps}
#define PAINTED (64 * 1024)
#define PAINT 0xa5

static uint32_t counts[2 + STEPS];
static uint32_t last;

{counter}
void emulator_trace(int index, const void *data, size_t size)
{{
    (void)data, (void)size;
    uint32_t now = instructions();
    counts[2 + index] += now - last;
    last = instructions();
}}

{buffers}

__attribute__((noinline)) static int measured(struct tvmgen_default_inputs *inputs,
                                              struct tvmgen_default_outputs *outputs)
{{
    uint8_t *top = stack_pointer();
    volatile uint8_t *low = top - PAINTED;
    for (volatile uint8_t *p = low; p < top; p++) {{
        *p = PAINT;
    }}
    uint32_t start = last = instructions();
    int failed = tvmgen_default_run(inputs, outputs);
    counts[0] = instructions() - start;
    while (low < top && *low == PAINT) {{
        low++;
    }}
    counts[1] = (uint32_t)(top - low);
    return failed;
}}

int main(void)
{{
    FILE *in = fopen("input.bin", "rb"), *out = fopen("output.bin", "wb"), *log = fopen("counts.bin", "wb");
    if (in == NULL || out == NULL || log == NULL) {{
        return 1;
    }}
    struct tvmgen_default_inputs inputs = {{{inputs}}};
    struct tvmgen_default_outputs outputs = {{{outputs}}};
    while ({read}) {{
        memset(counts, 0, sizeof(counts));
        if (measured(&inputs, &outputs) != 0) {{
            return 1;
        }}
        {write}
        fwrite(counts, sizeof(counts[0]), 2 + STEPS, log);
    }}
    fclose(out);
    fclose(log);
    return 0;
}}
"""


@dataclass(frozen=True)
class Counts:
    """The cost of one inference: instructions in total and by `Call.index`; stack_bytes: the largest use of stack."""

    instructions: int
    stack_bytes: int
    steps: List[int]


@dataclass(frozen=True)
class Sizes:
    """Bytes of the linked inference alone (no start-up code, no printf), as a linker with --gc-sections leaves it.

    code: .text; weights: weights, biases and shifts; rodata: all other constants; data, bss: RAM without the arena
    """

    code: int
    rodata: int
    weights: int
    data: int
    bss: int
    arena: int


def execute(binary: Path, folder: Path, timeout: float = TIMEOUT, machine: Machine = RISCV) -> str:
    """Run a bare-metal program in the emulator with `folder` as the place of its files; returns what it printed."""
    try:
        done = run_child(
            [*machine.emulator, str(binary)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{binary.name}: did not finish in the emulator within {timeout:.0f} s")
    if done.returncode != 0:
        text = done.stdout.decode(errors="replace").strip().splitlines()
        raise UserError(f"{binary.name}: failed in the emulator: {text[-1] if text else done.returncode}")
    return done.stdout.decode("ascii", "replace")


def compile_objects(
    sources: Sequence[Path], includes: Sequence[Path], folder: Path, flags=(), machine: Machine = RISCV
) -> List[Path]:
    """Compile C files for a machine; returns the object files in `folder`."""
    objects = []
    for number, source in enumerate(sources):
        target = folder / f"{number}_{source.stem}.o"
        command = [machine.compiler, *CFLAGS, *machine.target, *flags]
        for include in includes:
            command += ["-I", str(include)]
        _run([*command, "-c", str(source), "-o", str(target)], source.name, machine)
        objects.append(target)
    return objects


def link(objects: Sequence[Path], binary: Path, machine: Machine = RISCV) -> None:
    """Link a program that the emulator runs."""
    (binary.parent / "runtime").mkdir(exist_ok=True)
    runtime = compile_objects(machine.runtime, (), binary.parent / "runtime", machine=machine)
    command = [machine.compiler, *machine.link_target, *machine.program, "-Wl,--gc-sections"]
    _run([*command, *map(str, [*runtime, *objects]), *machine.libraries, "-o", str(binary)], binary.name, machine)


def _run(command: Sequence[str], name: str, machine: Machine) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise UserError(f"{name}: does not compile for {machine.name}: {first_error(done.stdout)}")


class EmulatedProgram(HostProgram):
    """A generated project, compiled for a machine of its own; runs in QEMU.

    project: the folder `new_project`. Inputs and outputs as those of `HostProgram`.
    """

    def __init__(self, project: os.PathLike, kernels: Optional[Sequence[Path]] = None, machine: Machine = RISCV):
        """kernels: object files of the kernels where they are compiled already (see `compile_objects`)."""
        require(machine)
        self.machine = machine
        self._kernels = list(kernels or ())
        super().__init__(project)

    def _build(self, sanitize: bool) -> Path:
        folder = Path(self._folder.name)
        (folder / "trace.h").write_text(_TRACE)
        driver = folder / "driver.c"
        more = {"steps": self.program.steps, "counter": self.machine.counter}
        driver.write_text(fill(_DRIVER, self.program, "in", "out", **more), encoding="utf-8")
        includes = self.include_folders()
        if not self._kernels:
            self._kernels = compile_objects(self._kernel_sources(), includes, folder, (), self.machine)
        generated = [source for source in self.sources() if source not in self._kernel_sources()]
        (folder / "traced").mkdir()
        trace = ["-include", str(folder / "trace.h")]
        objects = self._kernels + compile_objects(generated, includes, folder / "traced", trace, self.machine)
        objects += compile_objects([driver], includes, folder / "traced", (), self.machine)
        link(objects, folder / "program.elf", self.machine)
        return folder / "program.elf"

    def _kernel_sources(self) -> List[Path]:
        return [source for source in self.sources() if KERNELS in source.relative_to(self.project).parents]

    def run(self, samples: Dict[str, np.ndarray], traced: bool = False) -> Dict[str, np.ndarray]:
        """Outputs by ONNX name, [N, ...]."""
        return self.measure(samples)[0]

    def measure(self, samples: Dict[str, np.ndarray]) -> Tuple[Dict[str, np.ndarray], List[Counts]]:
        """(outputs by ONNX name, [N, ...]; the counts of every sample), for ONNX input name -> array [N, ...]."""
        count = len(next(iter(samples.values())))
        folder = Path(self._folder.name)
        (folder / "input.bin").write_bytes(sample_bytes(self.inputs, samples))
        execute(self._binary, folder, machine=self.machine)
        blob, position = (folder / "output.bin").read_bytes(), 0
        outputs: Dict[str, List[np.ndarray]] = {port.name: [] for port in self.outputs}
        for _ in range(count):
            for port in self.outputs:
                array = np.frombuffer(blob, port.dtype, port.elements, position)
                outputs[port.name].append(array.reshape(port.shape))
                position += array.nbytes
        counts = np.fromfile(folder / "counts.bin", np.uint32).reshape(count, -1)
        exact = self.machine.count
        measured = [Counts(exact(int(row[0])), int(row[1]), [exact(int(v)) for v in row[2:]]) for row in counts]
        return {name: np.stack(arrays) for name, arrays in outputs.items()}, measured

    def sizes(self) -> Sizes:
        """Flash and RAM of the inference alone."""
        with tempfile.TemporaryDirectory(prefix="esp_tvm_size_") as name:
            folder = Path(name)
            generated = [source for source in self.sources() if source not in self._kernel_sources()]
            objects = self._kernels + compile_objects(generated, self.include_folders(), folder, (), self.machine)
            binary = folder / "inference.elf"
            (folder / "runtime").mkdir()
            objects += compile_objects(self.machine.runtime, (), folder / "runtime", machine=self.machine)
            (folder / "sections.ld").write_text(_SECTIONS)
            command = [self.machine.compiler, *self.machine.link_target, "-Wl,--gc-sections", "-nostartfiles"]
            command += ["-Wl,-e,tvmgen_default_run", "-T", str(folder / "sections.ld")]
            command += [*map(str, objects), *self.machine.libraries, "-o", str(binary)]
            _run(command, "inference", self.machine)
            return read_sizes(binary, self.machine)


def read_sizes(binary: Path, machine: Machine = RISCV) -> Sizes:
    """The sizes of a linked inference, from its sections and symbols."""
    sections = subprocess.run([f"{machine.prefix}size", "-A", str(binary)], stdout=subprocess.PIPE, text=True)
    totals = {"text": 0, "rodata": 0, "data": 0, "bss": 0}
    for section, size in re.findall(r"(?m)^\.(\w+)\s+(\d+)\s", sections.stdout):
        if section in totals:
            totals[section] += int(size)
    symbols = subprocess.run([f"{machine.prefix}nm", "-S", str(binary)], stdout=subprocess.PIPE, text=True)
    weights = arena = 0
    for size, symbol in re.findall(r"(?m)^\w+ (\w+) \w (\S+)$", symbols.stdout):
        if re.fullmatch(r"tvmgen_default_esp_main_\d+_(weights|bias|shift)", symbol):
            weights += int(size, 16)
        elif symbol == "global_workspace":
            arena = int(size, 16)
    return Sizes(
        code=totals["text"],
        rodata=totals["rodata"] - weights,
        weights=weights,
        data=totals["data"],
        bss=totals["bss"] - arena,
        arena=arena,
    )


__all__ = ["Counts", "EmulatedProgram", "Sizes", "compile_objects", "execute", "link"]
