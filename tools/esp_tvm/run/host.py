"""The generated C and the kernels, compiled for this machine and run."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple, Union

import numpy as np

from ..errors import UserError
from ..naming import one_line
from ..program.form import Call, Tensor
from ..program.store import MODEL, load
from .driver import fill, sample_bytes
from .objects import compile_c, kernel_archive, program_folder, run_program

KERNELS = Path("components/esp-dl")
CFLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-ffp-contract=off", "-pthread")
STRICT = ("-Werror",)
# Of a fault the sanitizers name the line, which is all that -g1 keeps. -O2 would take twice as long to compile.
SANITIZE = ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

_DRIVER = """\
/* Reads samples from stdin, runs the model on each, writes all traced tensors and the outputs to stdout.
 * Arguments: whether to trace; whether each sample is a call of its own, with the states in it. */
#include "tvmgen_default.h"

#include <stdio.h>
#include <string.h>

static FILE *trace_file;

void host_trace(int index, const void *data, size_t size)
{{
    const int32_t head[2] = {{index, (int32_t)size}};
    if (trace_file != NULL) {{
        fwrite(head, sizeof head, 1, trace_file);
        fwrite(data, 1, size, trace_file);
    }}
}}

{buffers}

int main(int argc, char **argv)
{{
    trace_file = argv[1][0] == '1' ? stdout : NULL;
    const int alone = argc > 2 && argv[2][0] == '1';
    struct tvmgen_default_inputs inputs = {{{inputs}}};
    struct tvmgen_default_outputs outputs = {{{outputs}}};
    while ({read}) {{
        if (alone) {{
            {put_states}
        }}
        if (tvmgen_default_run(&inputs, &outputs) != 0) {{
            return 1;
        }}
        {write}
    }}
    return 0;
}}
"""


def host_compiler() -> List[str]:
    """The C compiler of this machine as a command: $CC, which may hold options, or cc, gcc, clang."""
    named = os.environ.get("CC", "")
    try:
        words = shlex.split(named)
    except ValueError as error:
        raise UserError(f"CC={named}: {error}")
    if words and shutil.which(words[0]) is None:
        raise UserError(f"CC={named}: is no program on PATH; name a C compiler of this computer, or leave CC out")
    found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if words:
        _check_compiler(tuple(words))
    if not words and found is None:
        raise UserError("no C compiler found for the host run; install one (apt-get install gcc) or set CC")
    return words or [str(found)]


@functools.lru_cache(maxsize=None)
def _check_compiler(words: Tuple[str, ...]) -> None:
    """Refuse a program that cannot compile C; otherwise the error would only be a missing file."""
    try:
        done = subprocess.run(
            [*words, "-E", "-x", "c", "-"], input="__STDC_VERSION__\n", capture_output=True, text=True, timeout=60
        )
        is_compiler = done.returncode == 0 and re.search(r"^\d{6}L$", done.stdout, re.M)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        is_compiler = False
    if not is_compiler:
        named = one_line(" ".join(words), 100)
        raise UserError(f"CC={named}: is no C compiler; name one of this computer, or leave CC out")


def include_folders(project: Path) -> List[Path]:
    """The include folders for the C of a project."""
    return [
        project / MODEL / "codegen/host/include",
        project / "components/tvm_model/crt_config",
        project / KERNELS / "include",
        project / KERNELS / "src",
    ]


class HostProgram:
    """A generated project, compiled for the host.

    project: the folder `new_project`; program: as its metadata describes it
    sanitize: with the address and undefined behaviour sanitizers, and with warnings as errors (for tests: a user's
        newer compiler may know warnings that ours does not)
    flags: more options of the compiler
    """

    def __init__(self, project: os.PathLike, sanitize: bool = False, flags: Sequence[str] = ()):
        self.project = Path(project)
        self.program = load(self.project)
        self.inputs, self.outputs = self.program.inputs, self.program.outputs
        # What the program prints while it runs.
        self.traced = [call for call in self.program.calls() if not call.is_view]
        self.command = [*host_compiler(), *CFLAGS, *(STRICT + SANITIZE if sanitize else ()), *flags]
        self._folder = program_folder("esp_tvm_host_", self.project.parent)
        self._binary = self._build(sanitize)

    def generated(self) -> List[Path]:
        """The C files that the exporter generated."""
        return sorted((self.project / MODEL / "codegen/host/src").glob("*.c"))

    def sources(self) -> List[Path]:
        """The project's own C files: the generated ones and the kernels."""
        return [*self.generated(), *sorted((self.project / KERNELS / "src").rglob("*.c"))]

    def kernels(self) -> Path:
        """The archive of the project's kernels; it stays in the project's build_host, unless that is read-only."""
        kept = self.project / "build_host"
        writable = os.access(self.project, os.W_OK) and not kept.is_symlink()
        return kernel_archive(self.project / KERNELS, self.command, kept if writable else Path(self._folder.name))

    def include_folders(self) -> List[Path]:
        return include_folders(self.project)

    def _build(self, sanitize: bool) -> Path:
        folder = Path(self._folder.name)
        driver = folder / "driver.c"
        driver.write_text(fill(_DRIVER, self.program, "stdin", "stdout"), encoding="utf-8")
        trace = folder / "trace.h"
        trace.write_text(
            "#include <stddef.h>\nvoid host_trace(int index, const void *data, size_t size);\n"
            "#define TVMGEN_DEFAULT_TRACE(index, data, size) host_trace(index, data, size)\n"
            "#define TVMGEN_DEFAULT_TRACE_ROWS(index, data, size) host_trace(index, data, size)\n"
        )
        return self.link([driver], folder / "program", ["-include", str(trace)])

    def link(self, sources: Sequence[Path], binary: Path, options: Sequence[str] = ()) -> Path:
        """Compile `sources` and link them with the generated C and the kernels."""
        includes = [word for include in self.include_folders() for word in ("-I", str(include))]
        words = [
            *options,
            *includes,
            *map(str, [*sources, *self.generated(), self.kernels()]),
            "-o",
            str(binary),
            "-lm",
        ]
        compile_c([*self.command, *words], str(self.project))
        return binary

    def run(self, samples: Dict[str, np.ndarray], traced: bool = False) -> Dict[str, np.ndarray]:
        """Outputs by ONNX name, [N, ...], for `samples`: ONNX input name -> array [N, ...] of the input's dtype."""
        outputs = [outputs for outputs, _ in self.run_each(samples, traced)]
        return {port.name: np.stack([output[port.name] for output in outputs]) for port in self.outputs}

    def run_each(
        self, samples: Dict[str, np.ndarray], traced: bool = True, alone: bool = False
    ) -> Iterator[Tuple[Dict[str, np.ndarray], Dict[Tensor, np.ndarray]]]:
        """(outputs by ONNX name, what every call wrote: tensor of `self.program` -> array) for every sample in turn.

        A program with states has its own, from call to call; alone: those of each sample.
        """
        count = len(next(iter(samples.values())))
        command = [str(self._binary), str(int(traced)), str(int(alone))]
        done = run_program(command, sample_bytes(self.inputs, samples))
        if done.returncode != 0:
            why = done.stderr.decode(errors="replace").strip().splitlines()
            raise UserError(f"{self.project}: the host program failed: {why[0] if why else done.returncode}")
        stream = _Stream(done.stdout, self.project)
        for _ in range(count):
            tensors = stream.take_traced(self.traced) if traced else {}
            yield {port.name: stream.take(port) for port in self.outputs}, tensors
        stream.end()


class _Stream:
    """The output of the driver: the trace of a sample in records of (index of the call, bytes, data), then its
    outputs."""

    _HEAD = struct.Struct("=ii")

    def __init__(self, data: bytes, project: Path):
        self.view, self.project, self.position = memoryview(data), project, 0

    def take_traced(self, calls: Sequence[Call]) -> Dict[Tensor, np.ndarray]:
        """What every call wrote. Rows of a strip, and each of several outputs, are in separate records."""
        left = sum(tensor.bytes for call in calls for tensor in call.writes)
        parts: Dict[int, bytearray] = {}
        while left > 0:
            index, size = self._HEAD.unpack(self._bytes(self._HEAD.size))
            parts.setdefault(index, bytearray()).extend(self._bytes(size))
            left -= size
        tensors: Dict[Tensor, np.ndarray] = {}
        for call in calls:
            data = parts.get(call.index, bytearray())
            if len(data) != sum(tensor.bytes for tensor in call.writes):
                self._refuse(f"of call {call.index} {len(data)} bytes")
            for tensor in call.writes:
                tensors[tensor] = self._array(tensor, data[: tensor.bytes])
                data = data[tensor.bytes :]
        return tensors

    def take(self, tensor: Tensor) -> np.ndarray:
        """The next tensor."""
        return self._array(tensor, self._bytes(tensor.bytes))

    def end(self) -> None:
        """Check that nothing is left."""
        if self.position != len(self.view):
            self._refuse(f"{len(self.view)} bytes")

    @staticmethod
    def _array(tensor: Tensor, data: Union[bytearray, memoryview]) -> np.ndarray:
        return np.frombuffer(data, dtype=tensor.dtype).reshape(tensor.shape)

    def _bytes(self, size: int) -> memoryview:
        if size < 0 or self.position + size > len(self.view):
            self._refuse(f"{len(self.view)} bytes")
        self.position += size
        return self.view[self.position - size : self.position]

    def _refuse(self, what: str) -> None:
        raise UserError(f"{self.project}: its C writes {what}, by its metadata another number; export again")
