"""Calls of the kernels of the ESP32-S3's vector unit, and a program that compares them with the plain ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Optional, Sequence

import numpy as np
from esp32s3_calls import floats, random_vector_call
from kernel_archive import COMPONENT, INCLUDES, listed_sources
from variant_cases import MAC16, RANGES, with_addend

from esp_tvm.compile.emitting.functions import static_array, static_functions
from esp_tvm.compile.kernels.esp32s3 import ANYWHERE, VECTOR_VARIANTS, Esp32s3Variant
from esp_tvm.compile.kernels.esp32s3.quantization import QuantizeNhwcFpu
from esp_tvm.compile.kernels.portable import QuantizeNhwc
from esp_tvm.compile.kernels.variants import Variant
from esp_tvm.operators import OPERATORS
from esp_tvm.program import Call, Constant
from esp_tvm.run import esp32s3
from esp_tvm.run.esp32s3 import RUNTIME

ALL: List[Variant] = [variant for variants in VECTOR_VARIANTS.values() for variant in variants]
ALL += [*(variant for variants in ANYWHERE.values() for variant in variants), QuantizeNhwcFpu()]
ALL += MAC16
REPEATS = 8

_HOST = """\
#include <stdint.h>
#include <stdio.h>

static void emulator_loop(int count)
{
    (void)count;
}

static void emulator_write(const void *data, int size)
{
    fwrite(data, 1, (size_t)size, stdout);
}

static uint32_t emulator_cycles(void)
{
    return 0;
}
"""

_HEAD = """\
#include "esp_dl.h"
#include "esp_dl_fast.h"

#include <string.h>

#define TVMGEN_DEFAULT_STATIC static

static int8_t x[{x}] __attribute__((aligned(16))), wanted[{y}] __attribute__((aligned(16)));
static int8_t y[{y}] __attribute__((aligned(16))), scratch[{scratch}] __attribute__((aligned(16)));

/* First byte that differs (-1: none), what it is, what it should be, cycles. */
static void report(int size, uint32_t cycles)
{{
    int32_t line[4] = {{-1, 0, 0, (int32_t)cycles}};
    for (int i = 0; i < size && line[0] < 0; i++) {{
        if (y[i] != wanted[i]) {{
            line[0] = i, line[1] = y[i], line[2] = wanted[i];
        }}
    }}
    /* Nothing behind the output may be written. */
    for (int i = size; i < size + 16; i++) {{
        if (y[i] != 0x55) {{
            line[0] = i, line[1] = y[i], line[2] = 0x55;
        }}
    }}
    emulator_write(line, sizeof(line));
}}

/* A report of its own, only where it differs: the output overlapped the input. */
static inline void report_overlap(int size)
{{
    int32_t line[4] = {{-2, 0, 0, 0}};
    for (int i = 0; i < size; i++) {{
        if (y[i] != wanted[i]) {{
            line[1] = i, line[2] = y[i], line[3] = wanted[i];
            emulator_write(line, sizeof(line));
            return;
        }}
    }}
}}
"""


def _wide_values(count: int, random: np.random.RandomState) -> np.ndarray:
    """int16, some of them, or all, at the ends of their range."""
    ends, values = random.choice([-32768, 32767], count), random.randint(-32768, 32768, count)
    return np.where(random.rand(count) < random.choice([0.0, 0.3, 1.0]), ends, values).astype(np.int16)


class Pair:
    """A call by the plain kernel and by a variant, and the input to compare them with."""

    def __init__(self, call: Call, variant: Variant, low: int, high: int, random: np.random.RandomState):
        # What is fused has no plain kernel: then the C that other chips take is the judge.
        judge = QuantizeNhwc() if isinstance(variant, QuantizeNhwcFpu) else None
        self.call, self.variant = replace(call, variant=judge, input_range=(low, high)), variant
        self.low, self.high = low, high
        self.fast = replace(call, variant=variant, input_range=(low, high))
        ranges = [(low, high), (-128, 127) if call.addend is not None else (low, high)]
        self.inputs = [
            self._values(tensor.elements, *ends, random) for tensor, ends in zip(call.inputs, [*ranges, (low, high)])
        ]
        self.inputs = [
            _wide_values(tensor.elements, random) if tensor.dtype == "int16" else values
            for tensor, values in zip(call.inputs, self.inputs)
        ]
        if call.operator == "quantize":
            steps = (call.attributes[name] for name in ("exponent", "zero_point"))
            self.inputs = [floats(call.inputs[0].elements, *steps, random)]

    @staticmethod
    def _values(count: int, low: int, high: int, random: np.random.RandomState) -> np.ndarray:
        x = random.randint(low, high + 1, count).astype(np.int8)
        # Sums grow most where inputs lie at an end of their range.
        x[random.rand(count) < random.choice([0.0, 0.3, 1.0])] = random.choice([low, high])
        return x

    def c_code(self, number: int, timed: str = "fast") -> str:
        """Data, the functions `plain_N` and `fast_N`, and `compare_N`, which counts instructions of `timed`."""
        call = self.call
        plain = replace(call, symbol=f"plain_{number}")
        fast = replace(self.fast, symbol=f"fast_{number}")
        parts, functions = [], [static_functions(plain), static_functions(fast)]
        assert f" {self.variant.name(self.fast)}(" in functions[1], f"{self.variant.kernel} is not what is called"
        names = []
        for i, values in enumerate(self.inputs):
            names.append("x" if i == 0 else f"x{i}_{number}")
            values = np.ascontiguousarray(values).view(np.int8)
            text = _array("int8_t", f"x{i}_{number}", values).replace("const ", "", 1)
            parts.append(text.replace("static ", "static _Alignas(4) ", 1))
        size, out = call.inputs[0].bytes, call.output.bytes
        arguments = _pointers(names)
        tail = ", scratch" if self.variant.scratch(call) else ""
        lead = self.variant.overlap_distance(call)
        overlap = ""
        if OPERATORS[call.operator].in_place and size == out:
            overlap = f"""\
    memcpy(y, x0_{number}, {size});
    fast_{number}({_pointers(["y", *names[1:], "y"])}{tail});
    report_overlap({out});
"""
        if call.addend is not None and call.addend.bytes == out and not self.variant.keeps_addend(self.fast):
            overlap = f"""\
    memcpy(y, x1_{number}, {out});
    fast_{number}({_pointers(["x", "y", "y"])}{tail});
    report_overlap({out});
"""
        elif lead is not None:
            lead = (lead + 15) // 16 * 16
            overlap = f"""\
    memset(y, 0x55, {max(out, lead + size) + 16});
    memcpy(y + {lead}, x0_{number}, {size});
    fast_{number}({_pointers([f"(y + {lead})", *names[1:], "y"])}{tail});
    report_overlap({out});
"""
        body = f"""\
static void compare_{number}(void)
{{
    memcpy(x, x0_{number}, {size});
    memset(y, 0x55, {out + 16});
    plain_{number}({arguments}, (void *)wanted);
    uint32_t start = emulator_cycles();
    for (int i = 0; i < REPEATS; i++) {{
        {timed}_{number}({arguments}, (void *)y{tail if timed == "fast" else ""});
    }}
    report({out}, emulator_cycles() - start);
{overlap}}}
"""
        return "\n".join([*parts, *functions, body])

    def reach(self) -> int:
        """Bytes of memory that hold the output and, behind it, an input that it may overlap."""
        lead = self.variant.overlap_distance(self.call)
        return max(self.call.output.bytes, (lead or 0) + 16 + self.call.inputs[0].bytes)

    def describe(self) -> str:
        """For the message of a failed test."""
        a = {k: v for k, v in self.call.attributes.items() if k not in ("weights", "bias", "shift")}
        weights = np.shape(self.call.attributes.get("weights"))
        shapes = f"{self.call.inputs[0].shape} -> {self.call.output.shape}, weights {weights}"
        kind = type(self.variant).__name__
        shifts = sorted(set(np.asarray(self.call.attributes.get("shift", 0)).reshape(-1).tolist()))
        return f"{kind} {shapes} {a} shifts {shifts} input {self.low}..{self.high}"


def _pointers(names: Sequence[str]) -> str:
    """Arguments, whatever they point to."""
    return ", ".join(f"(void *){name}" for name in names)


def _array(c_type: str, name: str, array: np.ndarray) -> str:
    return static_array(Constant(c_type, name, array, ""))


def program(pairs: Sequence[Pair], emulator: bool, repeats: int = 1, timed: str = "fast") -> str:
    """A C program that reports on a loop of 100000 instructions and on all pairs; timed: "fast" or "plain" kernels."""
    sizes = {
        "x": max(pair.call.inputs[0].bytes for pair in pairs) + 64,
        "y": max(pair.reach() for pair in pairs) + 32,
        "scratch": max(max(pair.variant.scratch(pair.call) for pair in pairs), 1),
    }
    calls = "\n".join(f"    compare_{number}();" for number in range(len(pairs)))
    main = (
        "int main(void)\n{\n    uint32_t start = emulator_cycles();\n    emulator_loop(50000);\n"
        f"    report(0, emulator_cycles() - start);\n{calls}\n    (void)scratch;\n    return 0;\n}}\n"
    )
    main = main.replace("    uint32_t start", "    memset(y, 0x55, 16);\n    uint32_t start", 1)
    head = f"#define REPEATS {repeats}\n" + (RUNTIME if emulator else _HOST) + _HEAD.format(**sizes)
    return "\n".join([head, *(pair.c_code(number, timed) for number, pair in enumerate(pairs)), main])


@dataclass(frozen=True)
class Verdict:
    """What differs (empty: nothing) and how many instructions the kernel took."""

    difference: str
    instructions: float


def verdicts(output: bytes, pairs: Sequence[Pair], repeats: int = 1) -> List[Verdict]:
    """The reports of a program."""
    lines: List[list] = []
    for line in struct.iter_unpack("<iiiI", output[: len(output) // 16 * 16]):
        if line[0] == -2:
            lines[-1][:3] = [
                f"{line[1]} (output over input)",
                line[2],
                struct.unpack("<i", struct.pack("<I", line[3]))[0],
            ]
        else:
            lines.append(list(line))
    assert len(lines) == len(pairs) + 1, "the program did not run to its end"
    scale = 100000 / lines[0][3] if lines[0][3] else 0.0
    result = []
    for (place, got, wanted, cycles), pair in zip(lines[1:], pairs):
        text = "" if place == -1 else f"byte {place} is {got}, not {wanted}: {pair.describe()}"
        result.append(Verdict(text, cycles * scale / repeats))
    return result


def random_pairs(variant: Variant, count: int, seed: int) -> List[Pair]:
    """`count` calls that `variant` takes, for the range of their input."""
    random = np.random.RandomState(seed)
    pairs: List[Pair] = []
    operator = variant.operator
    while len(pairs) < count:
        call = random_vector_call(operator, random)
        low, high = RANGES[random.randint(len(RANGES))]
        if call.operator == "conv2d" and random.randint(3) == 0:
            call = with_addend(call, random)
        if isinstance(variant, Esp32s3Variant):
            fits = variant.has_types(call) and variant.fits_range(call, low, high)
        else:
            fits = variant.fits(call)
        if fits:
            pairs.append(Pair(call, variant, low, high, random))
    return pairs


def listed(pairs: Sequence[Pair], output: bytes) -> Optional[str]:
    """The first difference, None if there is none."""
    return next((verdict.difference for verdict in verdicts(output, pairs) if verdict.difference), None)


def assembly_sources() -> List[Path]:
    """The kernels that are assembly; the ESP32-S3 has the ESP32's MAC16 unit as well."""
    return sorted((COMPONENT / "src").rglob("*.S"))


def run_in_emulator(pairs: Sequence[Pair], folder: Path, repeats: int = 1, timed: str = "fast") -> bytes:
    """What the program of `pairs`, built for the ESP32-S3, reports."""
    source = folder / "program.c"
    source.write_text(program(pairs, emulator=True, repeats=repeats, timed=timed), encoding="utf-8")
    sources = [source, *listed_sources(), *assembly_sources()]
    binary = esp32s3.build(sources, INCLUDES, folder, ["-Wl,--gc-sections"])
    done = esp32s3.run(binary)
    assert done.returncode == 0, done.stderr[:3000]
    return done.stdout
