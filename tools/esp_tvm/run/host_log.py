"""The log of a board, written on this machine: the same generated C and kernels, with the trace compiled in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict

import numpy as np

from ..errors import UserError
from ..program.form import Program
from ..trace.header import HEADER_NAME, trace_header
from .driver import fill, sample_bytes
from .host import HostProgram
from .objects import run_program

_DRIVER = """\
/* Reads samples and runs the model on each; the trace prints. */
#include "tvmgen_default.h"

#include <stdio.h>

{buffers}

int main(void)
{{
    FILE *in = {stream};
    if (in == NULL) {{
        return 1;
    }}
    struct tvmgen_default_inputs inputs = {{{inputs}}};
    struct tvmgen_default_outputs outputs = {{{outputs}}};
    while ({read}) {{
        if (tvmgen_default_run(&inputs, &outputs) != 0) {{
            return 1;
        }}
    }}
    return 0;
}}
"""


def driver_source(program: Program, stream: str) -> str:
    """A main function that runs the model on every sample in `stream`, a C expression of an open file."""
    return fill(_DRIVER, program, "in", stream=stream)


class LoggingProgram(HostProgram):
    """A generated project, compiled for the host with the trace in it. mode: checksums or tensors."""

    def __init__(self, project: os.PathLike, mode: str = "tensors"):
        self.mode = mode
        super().__init__(project)

    def _build(self, sanitize: bool) -> Path:
        folder = Path(self._folder.name)
        (folder / HEADER_NAME).write_text(trace_header(self.program, self.mode), encoding="utf-8")
        driver = folder / "driver.c"
        driver.write_text(driver_source(self.program, "stdin"), encoding="utf-8")
        options = [f'-DTVMGEN_DEFAULT_TRACE_HEADER="{HEADER_NAME}"', "-I", str(folder)]
        return self.link([driver], folder / "program", options)

    def log(self, samples: Dict[str, np.ndarray]) -> str:
        """The text that a board with this project prints for `samples` (ONNX input name -> array [N, ...])."""
        done = run_program([str(self._binary)], sample_bytes(self.inputs, samples))
        if done.returncode != 0:
            raise UserError(f"{self.project}: the host program failed with the trace: exit code {done.returncode}")
        return done.stdout.decode("ascii", "replace")
