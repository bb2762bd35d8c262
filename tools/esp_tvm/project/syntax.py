"""Checks the generated C with this machine's compiler before the export reports success; nothing is built."""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import List, Optional

from ..errors import UserError
from ..naming import one_line
from ..run.driver import first_error
from ..run.host import MODEL, host_compiler, include_folders

# C11, as in ESP-IDF; a number that does not fit its field is a warning.
_FLAGS = ("-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror")
# Larger constants are checked in the form that maps them from a partition, since the compiler would take seconds.
_LARGE_CONSTANTS = 1 << 20
_SECONDS = 300
# The use of the two headers in main/app_main.c.
_USE = """\
#include "input_data.h"
#include "output_data.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int32_t use_model(uint8_t *workspace);

int32_t use_model(uint8_t *workspace)
{
    struct tvmgen_default_inputs sample = MODEL_INPUTS;
    struct tvmgen_default_inputs inputs = MODEL_INPUT_BUFFERS;
    struct tvmgen_default_outputs outputs = MODEL_OUTPUTS;
    size_t different = 0;
#define FILL(buffer, values) memcpy(buffer, values, sizeof(values))
    FILL_MODEL_INPUTS(FILL);
#define COUNT(name, computed, expected) different += memcmp(computed, expected, sizeof(expected)) != 0
    CHECK_MODEL_OUTPUTS(COUNT);
    return run_model_in(workspace, &sample, &outputs) + run_model_in(workspace, &inputs, &outputs) + (int32_t)different;
}
"""


def check_syntax(project: Path, constant_bytes: int) -> Optional[str]:
    """Check the C in `project` with this machine's C compiler, warnings as errors; raises `UserError` for the first.

    Returns a note if this machine has no compiler, otherwise None.
    """
    try:
        compiler = host_compiler()
    except UserError:
        if os.environ.get("CC"):
            raise
        return "no C compiler here, so the generated C was not tried; install one (apt-get install gcc) or set CC"
    defines = ["-DTVMGEN_DEFAULT_CONSTANTS_MAPPED"] if constant_bytes > _LARGE_CONSTANTS else []
    folders = [*include_folders(project), project / "main"]
    command = [*compiler, *_FLAGS, *defines, *[f"-I{folder}" for folder in folders if folder.is_dir()]]
    sources: List[Path] = sorted((project / MODEL / "codegen/host/src").glob("*.c"))
    with ThreadPoolExecutor() as pool:  # for each a compiler of its own, at the same time
        read = [pool.submit(_read, [*command, str(source)], None) for source in sources]
        read.append(pool.submit(_read, [*command, "-x", "c", "-"], _USE))
    for one in read:
        one.result()
    return None


def _read(command: List[str], text: Optional[str]) -> None:
    try:
        done = subprocess.run(
            command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"the C compiler did not read the generated C within {_SECONDS} seconds; nothing is written")
    if done.returncode != 0:
        why = first_error(done.stdout) or f"{command[0]} ends with {done.returncode}"
        why = one_line(re.sub(r"^\S*/", "", why), 300)  # without the temporary folder
        raise UserError(
            f"the C that this model becomes does not compile, so nothing is written: {why}; this is a fault of the "
            "exporter or a value in the model that C cannot hold: look at the node or tensor that the line names"
        )
