"""The generated C and the kernels, compiled for RV32IMC (the ESP32-C3's instruction set) and run in QEMU.

`qemu-system-riscv32 -icount shift=0` executes one instruction a tick, so `rdinstret` counts exactly: the same program
and the same input give the same numbers on every computer. Debian packages: gcc-riscv64-unknown-elf,
picolibc-riscv64-unknown-elf, qemu-system-misc.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from .host import KERNELS, HostProgram

COMPILER = "riscv64-unknown-elf-gcc"
EMULATOR = "qemu-system-riscv32"
CFLAGS = (
    "-march=rv32imc",
    "-mabi=ilp32",
    "-O2",
    "-std=gnu11",
    "-ffunction-sections",
    "-fdata-sections",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
)
# Debian's picolibc has a library for rv32imac but none for rv32imc; the project's own code stays rv32imc.
LINK = ("-march=rv32imac", "-mabi=ilp32", "-Wl,--gc-sections")
_MEMORY = ("__flash=0x80000000", "__flash_size=0x2000000", "__ram=0x82000000", "__ram_size=0x2000000")
_PICOLIBC = ("--specs=picolibc.specs", "--crt0=hosted", "--oslib=semihost")
TIMEOUT = 1800

# For measuring: code, constants, data and bss each in a section of its own.
_SECTIONS = """\
SECTIONS
{
    .text 0x10000 : { *(.text .text.*) }
    .rodata : { *(.rodata .rodata.* .srodata .srodata.*) }
    .data : { *(.data .data.* .sdata .sdata.*) }
    .bss : { *(.bss .bss.* .sbss .sbss.* COMMON) }
}
"""

_TRACE = """\
#include <stddef.h>
void emulator_trace(int index, const void *data, size_t size);
#define TVMGEN_DEFAULT_TRACE(index, data, size) emulator_trace(index, data, size)
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

static inline uint32_t instructions(void)
{{
    uint32_t value;
    __asm__ volatile("rdinstret %0" : "=r"(value)::"memory");
    return value;
}}

void emulator_trace(int index, const void *data, size_t size)
{{
    (void)data, (void)size;
    uint32_t now = instructions();
    counts[2 + index] = now - last;
    last = instructions();
}}

{buffers}

__attribute__((noinline)) static int measured(struct tvmgen_default_inputs *inputs,
                                              struct tvmgen_default_outputs *outputs)
{{
    uint8_t *top;
    __asm__ volatile("mv %0, sp" : "=r"(top));
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
    """What one inference took: instructions in all and by step index; stack_bytes: the most it used."""

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


def require_tools() -> None:
    """Raise a UserError that names what is missing."""
    for tool, package in ((COMPILER, "gcc-riscv64-unknown-elf"), (EMULATOR, "qemu-system-misc")):
        if shutil.which(tool) is None:
            raise UserError(f"{tool} is not installed; install it with: apt-get install {package}")
    found = subprocess.run([COMPILER, "-print-file-name=picolibc.specs"], stdout=subprocess.PIPE, text=True)
    if not Path(found.stdout.strip()).is_absolute():
        raise UserError("picolibc is not installed; install it with: apt-get install picolibc-riscv64-unknown-elf")


def execute(binary: Path, folder: Path, timeout: float = TIMEOUT) -> str:
    """Run a bare-metal program in the emulator with `folder` as the place of its files; returns what it printed."""
    command = [EMULATOR, "-M", "virt", "-icount", "shift=0", "-bios", "none", "-nographic", "-monitor", "none"]
    command += ["-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel", str(binary)]
    try:
        done = subprocess.run(
            command,
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


def compile_objects(sources: Sequence[Path], includes: Sequence[Path], folder: Path, flags=()) -> List[Path]:
    """Compile C files for RV32IMC; returns the object files in `folder`."""
    objects = []
    for number, source in enumerate(sources):
        target = folder / f"{number}_{source.stem}.o"
        command = [COMPILER, *CFLAGS, "--specs=picolibc.specs", *flags]
        for include in includes:
            command += ["-I", str(include)]
        _run([*command, "-c", str(source), "-o", str(target)], source.name)
        objects.append(target)
    return objects


def link(objects: Sequence[Path], binary: Path) -> None:
    """Link a program that the emulator runs."""
    memory = [f"-Wl,--defsym={definition}" for definition in _MEMORY]
    _run([COMPILER, *LINK, *_PICOLIBC, *memory, *map(str, objects), "-lm", "-o", str(binary)], binary.name)


def _run(command: Sequence[str], name: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        first = next((line for line in done.stdout.splitlines() if "error" in line), done.stdout.strip()[:300])
        raise UserError(f"{name}: does not compile for RV32IMC: {first}")


class EmulatedProgram(HostProgram):
    """A generated project, compiled for RV32IMC; runs in QEMU.

    project: the folder `new_project`. Inputs and outputs as those of `HostProgram`.
    """

    def __init__(self, project: os.PathLike, kernels: Optional[Sequence[Path]] = None):
        """kernels: object files of the kernels where they are compiled already (see `compile_objects`)."""
        require_tools()
        self._kernels = list(kernels or ())
        super().__init__(project)

    def _build(self, sanitize: bool) -> Path:
        folder = Path(self._folder.name)
        (folder / "trace.h").write_text(_TRACE)
        driver = folder / "driver.c"
        driver.write_text(_driver(self.inputs, self.outputs, len(self.metadata["calls"])), encoding="utf-8")
        includes = self.include_folders()
        if not self._kernels:
            self._kernels = compile_objects(self._kernel_sources(), includes, folder)
        generated = [source for source in self.sources() if source not in self._kernel_sources()]
        (folder / "traced").mkdir()
        trace = ["-include", str(folder / "trace.h")]
        objects = self._kernels + compile_objects(generated, includes, folder / "traced", trace)
        objects += compile_objects([driver], includes, folder / "traced")
        link(objects, folder / "program.elf")
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
        with open(folder / "input.bin", "wb") as file:
            for index in range(count):
                for port in self.inputs:
                    file.write(np.ascontiguousarray(samples[port["name"]][index], dtype=port["dtype"]).tobytes())
        execute(self._binary, folder)
        blob, position = (folder / "output.bin").read_bytes(), 0
        outputs: Dict[str, List[np.ndarray]] = {port["name"]: [] for port in self.outputs}
        for _ in range(count):
            for port in self.outputs:
                elements = int(np.prod(port["shape"], dtype=np.int64))
                array = np.frombuffer(blob, port["dtype"], elements, position)
                outputs[port["name"]].append(array.reshape(port["shape"]))
                position += array.nbytes
        counts = np.fromfile(folder / "counts.bin", np.uint32).reshape(count, -1)
        measured = [Counts(int(row[0]), int(row[1]), [int(v) for v in row[2:]]) for row in counts]
        return {name: np.stack(arrays) for name, arrays in outputs.items()}, measured

    def sizes(self) -> Sizes:
        """Flash and RAM of the inference alone."""
        with tempfile.TemporaryDirectory(prefix="esp_tvm_size_") as name:
            folder = Path(name)
            generated = [source for source in self.sources() if source not in self._kernel_sources()]
            objects = self._kernels + compile_objects(generated, self.include_folders(), folder)
            binary = folder / "inference.elf"
            (folder / "sections.ld").write_text(_SECTIONS)
            entry = ["-nostartfiles", "-Wl,-e,tvmgen_default_run", "--specs=picolibc.specs"]
            entry += ["-T", str(folder / "sections.ld")]
            _run([COMPILER, *LINK, *entry, *map(str, objects), "-lm", "-o", str(binary)], "inference")
            return read_sizes(binary)


def read_sizes(binary: Path) -> Sizes:
    """The sizes of a linked inference, from its sections and symbols."""
    sections = subprocess.run(["riscv64-unknown-elf-size", "-A", str(binary)], stdout=subprocess.PIPE, text=True)
    totals = {"text": 0, "rodata": 0, "data": 0, "bss": 0}
    for section, size in re.findall(r"(?m)^\.(\w+)\s+(\d+)\s", sections.stdout):
        if section in totals:
            totals[section] += int(size)
    symbols = subprocess.run(["riscv64-unknown-elf-nm", "-S", str(binary)], stdout=subprocess.PIPE, text=True)
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


def _driver(inputs: List[dict], outputs: List[dict], steps: int) -> str:
    buffers, read, write = [], [], []
    for kind, ports in (("INPUT", inputs), ("OUTPUT", outputs)):
        for port in ports:
            name, size = port["c_name"], f"TVMGEN_DEFAULT_{kind}_{port['c_name'].upper()}_SIZE"
            buffers.append(f"static _Alignas(16) unsigned char {kind.lower()}_{name}[{size}];")
            if kind == "INPUT":
                read.append(f"fread(input_{name}, 1, {size}, in) == {size}")
            else:
                write.append(f"fwrite(output_{name}, 1, {size}, out);")
    return _DRIVER.format(
        steps=steps,
        buffers="\n".join(buffers),
        inputs=", ".join(f".{p['c_name']} = input_{p['c_name']}" for p in inputs),
        outputs=", ".join(f".{p['c_name']} = output_{p['c_name']}" for p in outputs),
        read=" && ".join(read),
        write="\n        ".join(write),
    )


__all__ = ["Counts", "EmulatedProgram", "Sizes", "compile_objects", "execute", "link", "require_tools"]
