"""Programs for the ESP32-S3 in an emulator that executes its vector instructions.

Needs Espressif's compiler (xtensa-esp32s3-elf-gcc, or xtensa-esp-elf-gcc) and a qemu-system-xtensa whose `sim` machine
runs a core `esp32s3` with its vector unit. With `-icount shift=0` an instruction takes a nanosecond; the core's cycle
counter, calibrated against a loop of known length, so counts instructions.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..c_text import C_TYPES, array_lines
from ..children import run_child
from ..compile.compiled import CompiledModel

COMPILERS = (("xtensa-esp32s3-elf-gcc",), ("xtensa-esp-elf-gcc", "-mdynconfig=xtensa_esp32s3.so"))
EMULATOR = "qemu-system-xtensa"
# ESP_DL_ESP32: the kernels for the ESP32's MAC16 unit, which the core has too.
_CHIPS = ("-DESP_DL_ESP32S3", "-DESP_DL_ESP32")
CFLAGS = ("-O2", "-std=gnu11", "-ffunction-sections", "-ffp-contract=off", "-Wall", "-Wextra", *_CHIPS)

# Both calling conventions. The vectors are those of the windowed one; any other exception ends the program.
_START = """\
    .section .reset, "ax"
    .align 4
    j 1f
    .align 4
0:  .word _start
1:  l32r a2, 0b
    jx a2

    .section .vectors, "ax"
    .align 1024
vectors:
#ifndef __XTENSA_CALL0_ABI__
    s32e a0, a5, -16
    s32e a1, a5, -12
    s32e a2, a5, -8
    s32e a3, a5, -4
    rfwo
    .org vectors + 0x40
    l32e a0, a5, -16
    l32e a1, a5, -12
    l32e a2, a5, -8
    l32e a3, a5, -4
    rfwu
    .org vectors + 0x80
    s32e a0, a9, -16
    l32e a0, a1, -12
    s32e a1, a9, -12
    s32e a2, a9, -8
    s32e a3, a9, -4
    s32e a4, a0, -32
    s32e a5, a0, -28
    s32e a6, a0, -24
    s32e a7, a0, -20
    rfwo
    .org vectors + 0xc0
    l32e a0, a9, -16
    l32e a1, a9, -12
    l32e a2, a9, -8
    l32e a7, a1, -12
    l32e a3, a9, -4
    l32e a4, a7, -32
    l32e a5, a7, -28
    l32e a6, a7, -24
    l32e a7, a7, -20
    rfwu
    .org vectors + 0x100
    s32e a0, a13, -16
    l32e a0, a1, -12
    s32e a1, a13, -12
    s32e a2, a13, -8
    s32e a3, a13, -4
    s32e a4, a0, -48
    s32e a5, a0, -44
    s32e a6, a0, -40
    s32e a7, a0, -36
    s32e a8, a0, -32
    s32e a9, a0, -28
    s32e a10, a0, -24
    s32e a11, a0, -20
    rfwo
    .org vectors + 0x140
    l32e a0, a13, -16
    l32e a1, a13, -12
    l32e a2, a13, -8
    l32e a11, a1, -12
    l32e a3, a13, -4
    l32e a4, a11, -48
    l32e a5, a11, -44
    l32e a6, a11, -40
    l32e a7, a11, -36
    l32e a8, a11, -32
    l32e a9, a11, -28
    l32e a10, a11, -24
    l32e a11, a11, -20
    rfwu
#endif
    .org vectors + 0x300
    j failed
    .org vectors + 0x340
    j failed
    .org vectors + 0x3c0
failed:
    rsr.exccause a3
    addi a3, a3, 100
    movi a2, 1
    simcall

    .text
    .literal_position
    .align 4
    .global _start
_start:
    movi a2, vectors
    wsr.vecbase a2
    movi a2, 0xff
    wsr.cpenable a2
    movi a2, 1
    wsr.windowstart a2
    movi a2, 0
    wsr.windowbase a2
    movi a2, 0x40000 /* window exceptions on, no interrupt masked */
    wsr.ps a2
    rsync
    movi a1, __stack
    movi a0, 0
#ifdef __XTENSA_CALL0_ABI__
    call0 main
    mov a3, a2
#else
    call4 main
    mov a3, a6
#endif
    movi a2, 1
    simcall

    .global emulator_call /* int emulator_call(int number, int a, const void *b, int c) */
    .type emulator_call, @function
    .align 4
emulator_call:
#ifdef __XTENSA_CALL0_ABI__
    simcall
    ret
#else
    entry a1, 32
    simcall
    retw
#endif

    .global emulator_loop /* 2 * n instructions */
    .type emulator_loop, @function
    .align 4
emulator_loop:
#ifndef __XTENSA_CALL0_ABI__
    entry a1, 32
#endif
    loopnez a2, 2f
    or a3, a3, a3
    or a4, a4, a4
2:
#ifdef __XTENSA_CALL0_ABI__
    ret
#else
    retw
#endif
"""

_LINK = """\
ENTRY(_start)
SECTIONS
{
    .reset 0x50000000 : { KEEP(*(.reset)) }
    . = 0x60000000;
    .vectors : { KEEP(*(.vectors)) }
    .text : { *(.literal .literal.* .text .text.*) }
    .rodata : { *(.rodata .rodata.*) }
    .data : { *(.data .data.*) }
    .bss : { *(.bss .bss.* COMMON) }
    . = ALIGN(16);
    _end = .;
    . = . + 0x10000;
    __stack = .;
}
"""

# For programs: writing bytes to standard output, and the number of instructions so far.
RUNTIME = """\
#include <stdint.h>

int emulator_call(int number, int a, const void *b, int c);
void emulator_loop(int count);

static inline void emulator_write(const void *data, int size)
{
    emulator_call(4, 1, data, size);
}

static inline uint32_t emulator_cycles(void)
{
    uint32_t value;
    __asm__ volatile("rsr.ccount %0" : "=r"(value)::"memory");
    return value;
}
"""

_PROBE = """\
int main(void)
{
    static int8_t data[16] __attribute__((aligned(16))) = {1, 2, 3};
    int8_t *p = data;
    uint32_t sum;
    __asm__ volatile("ee.vld.128.ip q0, %0, 16\\n ee.zero.accx\\n ee.vmulas.s8.accx q0, q0\\n rur.accx_0 %1"
                     : "+r"(p), "=r"(sum)::"memory");
    return (int)sum;
}
"""


def compiler() -> Optional[List[str]]:
    """The compiler's command, None where there is none."""
    return next(([*command] for command in COMPILERS if shutil.which(command[0])), None)


def build(sources: Sequence[Path], includes: Sequence[Path], folder: Path, flags: Sequence[str] = ()) -> Path:
    """Compile and link `sources` (C and assembly; one has main and includes RUNTIME); returns the program."""
    (folder / "start.S").write_text(_START, encoding="utf-8")
    (folder / "link.ld").write_text(_LINK, encoding="utf-8")
    binary = folder / "program.elf"
    command = [*compiler(), *CFLAGS, *flags, "-nostartfiles", "-T", str(folder / "link.ld")]
    command += [f"-I{include}" for include in includes]
    command += [str(folder / "start.S"), *map(str, sources), "-o", str(binary)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:1])}: {done.stdout[-3000:]}")
    return binary


def run(binary: Path, timeout: int = 120) -> subprocess.CompletedProcess:
    """Run a program; stdout is what it wrote, returncode what main returned (100 and more: an exception)."""
    command = [EMULATOR, "-M", "sim", "-cpu", "esp32s3", "-m", "64M", "-icount", "shift=0", "-semihosting"]
    command += ["-display", "none", "-monitor", "none", "-serial", "none", "-kernel", str(binary)]
    pipe = subprocess.PIPE
    return run_child(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, timeout=timeout)


def why_not(folder: Path) -> str:
    """Why programs cannot be run here, in a few words; empty if they can. Tries it in `folder`."""
    if compiler() is None:
        return f"no compiler for the ESP32-S3 ({' or '.join(c[0] for c in COMPILERS)}) on PATH"
    if shutil.which(EMULATOR) is None:
        return f"no {EMULATOR} on PATH"
    source = folder / "probe.c"
    source.write_text(RUNTIME + _PROBE, encoding="utf-8")
    try:
        status = run(build([source], [], folder), timeout=10).returncode
    except RuntimeError:
        return f"{compiler()[0]} does not build for the ESP32-S3"
    except subprocess.TimeoutExpired:
        status = None
    return "" if status == 14 else f"this {EMULATOR} does not run the ESP32-S3's vector instructions on machine sim"


# --- a whole model ------------------------------------------------------------------------------------------

# Cycles of a loop of 100000 instructions, then those of every step, then the outputs.
_MODEL = """\
#include "tvmgen_default.h"
{runtime}
static uint32_t spent[{steps}], last;

void emulator_trace(int index)
{{
    spent[index] += emulator_cycles() - last;
    last = emulator_cycles();
}}

{buffers}
int main(void)
{{
    uint32_t first = emulator_cycles();
    emulator_loop(50000);
    uint32_t loop = emulator_cycles() - first;
    struct tvmgen_default_inputs inputs = {{{inputs}}};
    struct tvmgen_default_outputs outputs = {{{outputs}}};
    last = emulator_cycles();
    if (tvmgen_default_run(&inputs, &outputs) != 0) {{
        return 1;
    }}
    emulator_write(&loop, sizeof(loop));
    emulator_write(spent, sizeof(spent));
{writes}
    return 0;
}}
"""

_TRACE = """\
void emulator_trace(int index);
#define TVMGEN_DEFAULT_TRACE(index, data, size) emulator_trace(index)
#define TVMGEN_DEFAULT_TRACE_ROWS(index, data, size) emulator_trace(index)
"""


def run_model(
    compiled: CompiledModel, sample: Dict[str, np.ndarray], component: Path, folder: Path
) -> Tuple[Dict[str, np.ndarray], List[int]]:
    """(outputs by ONNX name, instructions of every step, 0 for steps without code) of one inference.

    component: the folder of the kernels, components/esp-dl; folder: takes the program
    """
    files = {
        "default_lib0.c": compiled.code.lib0,
        "default_lib1.c": compiled.code.lib1,
        "tvmgen_default.h": compiled.code.header,
    }
    files["trace.h"] = _TRACE
    files["main.c"] = _main(compiled, sample)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    config = component.parent / "tvm_model" / "crt_config"
    kernels = [path for path in (component / "src").rglob("*") if path.suffix in (".c", ".S")]
    sources = [folder / name for name in files if name.endswith(".c")] + sorted(kernels)
    includes = [folder, component / "include", component / "src", config]
    flags = ["-Wl,--gc-sections", '-DTVMGEN_DEFAULT_TRACE_HEADER="trace.h"']
    done = run(build(sources, includes, folder, flags), timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"the program ended with {done.returncode}")
    steps = compiled.program.steps
    loop, *spent = struct.unpack_from(f"<{1 + steps}I", done.stdout)
    counts, position, outputs = [round(cycles * 100000 / loop) for cycles in spent], 4 + 4 * steps, {}
    for port in compiled.program.outputs:
        count = int(np.prod(port.shape, dtype=np.int64))
        outputs[port.name] = np.frombuffer(done.stdout, port.dtype, count, position).reshape(port.shape)
        position += outputs[port.name].nbytes
    return outputs, counts


def _main(compiled: CompiledModel, sample: Dict[str, np.ndarray]) -> str:
    buffers, writes = [], []
    for port in compiled.program.inputs:
        values = "\n".join(array_lines(np.asarray(sample[port.name], port.dtype)))
        head = f"static {C_TYPES[port.dtype]} in_{port.c_name}[] __attribute__((aligned(16)))"
        buffers.append(f"{head} = {{\n{values}\n}};\n")
    for port in compiled.program.outputs:
        count = int(np.prod(port.shape, dtype=np.int64))
        buffers.append(f"static {C_TYPES[port.dtype]} out_{port.c_name}[{count}] __attribute__((aligned(16)));\n")
        writes.append(f"    emulator_write(out_{port.c_name}, sizeof(out_{port.c_name}));")
    return _MODEL.format(
        runtime=RUNTIME,
        steps=compiled.program.steps,
        buffers="\n".join(buffers),
        inputs=", ".join(f".{port.c_name} = in_{port.c_name}" for port in compiled.program.inputs),
        outputs=", ".join(f".{port.c_name} = out_{port.c_name}" for port in compiled.program.outputs),
        writes="\n".join(writes),
    )
