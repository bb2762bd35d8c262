"""Kernel calls, compiled with sanitizers into one program and run: what the generated C computes for each of them.

The C of a call is the exporter's own (`emitting/functions.py`), so parameters and constants are tested with it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import List, Sequence

import numpy as np
from kernel_archive import build
from kernel_case import Case

from esp_tvm import arithmetic
from esp_tvm.compile.emitting.functions import static_functions
from esp_tvm.operators import OPERATORS
from esp_tvm.program import Call, Tensor
from esp_tvm.run.host import SANITIZE, STRICT

_HEAD = """\
#include "esp_dl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As the program defines it where constants are part of it. */
#ifndef TVMGEN_DEFAULT_STATIC
#define TVMGEN_DEFAULT_STATIC static
#endif

/* Memory of just this size, so that the sanitizer sees every byte too many; off alignment if `shift` says so. */
static inline void *block(size_t size, size_t shift)
{
    char *data = malloc(size + shift);
    if (data == NULL) {
        exit(3);
    }
    memset(data, 0x55, size + shift);
    return data + shift;
}

static inline void *read_block(size_t size, size_t shift)
{
    void *data = block(size, shift);
    if (fread(data, 1, size, stdin) != size) {
        exit(4);
    }
    return data;
}

static inline void *copy_block(const void *from, size_t size, size_t shift)
{
    return memcpy(block(size, shift), from, size);
}

static inline void write_block(const void *data, size_t size)
{
    fwrite(data, 1, size, stdout);
}

static inline void release(void *data, size_t shift)
{
    free((char *)data - shift);
}
"""


def kernel_call(case: Case, symbol: str) -> Call:
    """The call of a case; the shape of its output is what the rule gives."""
    result = expected(case, case.samples()[0])
    inputs = [Tensor(f"input{i}", shape, dtype) for i, (shape, dtype) in enumerate(case.inputs)]
    output = Tensor("output", result.shape, result.dtype.name)
    return Call(symbol, case.operator, inputs, [output], case.attributes)


def expected(case: Case, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """What the NumPy rule says."""
    return arithmetic.rule(case.operator)(*inputs, **case.attributes)


class KernelProgram:
    """The calls of `cases` in one program, which runs each of them in every way the kernel allows."""

    def __init__(self, cases: Sequence[Case], folder: Path):
        self.cases = list(cases)
        self.calls = [kernel_call(case, f"call_{i}") for i, case in enumerate(self.cases)]
        self.binary = folder / "program"
        source = folder / "program.c"
        source.write_text(self._text(), encoding="utf-8")
        build([source], self.binary, *STRICT, *SANITIZE)

    def mismatches(self) -> List[str]:
        """Run all samples of all cases; one line for each result that is not the rule's."""
        samples = [case.samples() for case in self.cases]
        rounds = len(samples[0])
        blob = b"".join(x.tobytes() for r in range(rounds) for sets in samples for x in sets[r])
        done = subprocess.run([str(self.binary)], input=blob, capture_output=True)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[:4000]
        lines, position = [], 0
        for r in range(rounds):
            for case, call, sets in zip(self.cases, self.calls, samples):
                rule = expected(case, sets[r])
                twice = expected(case, [sets[r][0]] * len(sets[r])) if _all_alike(call) else None
                for way in _ways(call):
                    wanted = [twice] if way == "all the same" else [rule]
                    if way == "apart":
                        wanted += sets[r]
                    for number, array in enumerate(wanted):
                        what = f"input {number - 1} afterwards" if number else "output"
                        got = done.stdout[position : position + array.nbytes]
                        position += array.nbytes
                        if got != np.ascontiguousarray(array).tobytes():
                            lines.append(f"{case.id}, sample {r}, {way}: {what} {_difference(got, array)}")
        assert position == len(done.stdout)
        return lines

    def _text(self) -> str:
        parts = [_HEAD]
        for call in self.calls:
            parts.append(static_functions(call))
            parts.append(_runner(call))
        runs = "\n".join(f"        run_{call.symbol}();" for call in self.calls)
        rounds = len(self.cases[0].samples())
        parts.append(
            f"int main(void)\n{{\n    for (int i = 0; i < {rounds}; i++) {{\n{runs}\n    }}\n    return 0;\n}}\n"
        )
        return "\n".join(parts)


def _all_alike(call: Call) -> bool:
    return len(call.inputs) > 1 and len({(t.shape, t.dtype) for t in call.inputs}) == 1


def _ways(call: Call) -> List[str]:
    """How a call is run: output apart; in the memory of each input; all of them the same memory."""
    ways = ["apart"]
    if OPERATORS[call.operator].in_place:
        alike = [i for i, t in enumerate(call.inputs) if t.bytes == call.output.bytes]
        ways += [f"in place of {i}" for i in alike]
        if _all_alike(call) and alike:
            ways.append("all the same")
    return ways


def _shift(dtype: str) -> int:
    """int8 data needs no alignment: it gets none."""
    return 1 if dtype == "int8" else 0


def _runner(call: Call) -> str:
    out, shift = call.output.bytes, _shift(call.output.dtype)
    lines = [f"static void run_{call.symbol}(void)", "{"]
    names = [f"input{i}" for i in range(len(call.inputs))]
    for name, tensor in zip(names, call.inputs):
        lines.append(f"    void *{name} = read_block({tensor.bytes}, {_shift(tensor.dtype)});")
    scratch = OPERATORS[call.operator].scratch(call)
    if scratch:
        lines.append(f"    void *scratch = block({scratch}, 0);")
    lines.append("    void *y;")
    for way in _ways(call):
        arguments = list(names)
        if way == "apart":
            lines.append(f"    y = block({out}, {shift});")
        else:
            place = 0 if way == "all the same" else int(way.rsplit(" ", 1)[1])
            lines.append(f"    y = copy_block({names[place]}, {out}, {shift});")
            arguments = ["y" if way == "all the same" or i == place else name for i, name in enumerate(names)]
        arguments += ["y", "scratch"] if scratch else ["y"]
        lines.append(f"    if ({call.symbol}({', '.join(arguments)}) != 0) {{\n        exit(5);\n    }}")
        lines.append(f"    write_block(y, {out});")
        if way == "apart":
            lines += [f"    write_block({name}, {t.bytes});" for name, t in zip(names, call.inputs)]
        lines.append(f"    release(y, {shift});")
    lines += [f"    release({name}, {_shift(t.dtype)});" for name, t in zip(names, call.inputs)]
    if scratch:
        lines.append("    release(scratch, 0);")
    return "\n".join([*lines, "}", ""])


def _difference(got: bytes, wanted: np.ndarray) -> str:
    if len(got) != wanted.nbytes:
        return "is missing"
    values = np.frombuffer(got, wanted.dtype)
    flat = np.ascontiguousarray(wanted).reshape(-1)
    bits = np.dtype(f"u{wanted.dtype.itemsize}")
    places = np.flatnonzero(values.view(bits) != flat.view(bits))
    first = int(places[0])
    return f"differs in {len(places)} of {flat.size} values, first at {first}: {values[first]}, rule {flat[first]}"
