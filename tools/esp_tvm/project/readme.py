"""README.md of a generated project: what it is, how to build it, how to call the model."""

from __future__ import annotations

import re
from typing import List

from ..naming import shown
from ..program import Port, Program
from ..program.ports import centred_text, layout_of, pixels_text
from .fit import Fit
from .placement import ARENA, PSRAM

_TARGETS = ("ESP32", "ESP32-S2", "ESP32-S3", "ESP32-C3", "ESP32-C6", "ESP32-P4")

_TEXT = """\
| Supported Targets | {targets} |
| ----------------- | {dashes} |

# A quantized model as C

Runs model `{hash}` on the sample that it was exported with and checks every byte of the output against the
exporter's reference.{made_for}

## How to use it

```sh
idf.py set-target {chip}
idf.py -p PORT flash monitor
```

It prints `PASS: model {hash}, ... us, ...`, or `FAIL` and the first difference. Without a board:

| | |
| --- | --- |
| `idf.py --preview set-target linux build` | the same program on your computer: `build/tvm_model_app.elf` |
| `idf.py qemu` | in ESP-IDF's emulator (esp32, esp32c3, esp32s3; ESP-IDF 5.3 or later) |
| `cmake -S host -B build_host && cmake --build build_host && build_host/app` | without ESP-IDF |
| `pytest -m qemu` (`board`, `host_test`) | tests of what was built, with pytest-embedded: see `pytest_tvm_model.py` |

`idf.py menuconfig`: "TVM model" (memory of activations and weights, debug output, log level), "Inference task" (stack,
priority, core), "Kernels (esp-dl)". Weights in the partition `constants` are written alone by
`ESPPORT=PORT idf.py constants-flash`.

## The model

{ports}

{memory}

```c
#include "tvm_model.h"
#include "tvmgen_default.h"

tvm_model_init(); /* once */
struct tvmgen_default_inputs inputs = {{{inputs}}};
struct tvmgen_default_outputs outputs = {{{outputs}}};
tvmgen_default_run(&inputs, &outputs);
```

`main/app_main.c` is a complete example. What you change or add here is kept when the model is exported again, but for
generated files. For an application of your own copy `components/tvm_model` and `components/esp-dl` into its
`components/`, and add `PRIV_REQUIRES tvm_model` to the component that calls the model. For several models in one
application the exporter's `tools/tvm/copy_model.py` copies each under names of its own.
"""


def readme(program: Program, target_chip: str, fit: Fit) -> str:
    """The text of README.md. target_chip: a chip's name, or host"""
    chip = "esp32s3" if target_chip == "host" else target_chip
    # Kernels for a unit of one chip run on no other.
    targets = _TARGETS if program.kernels_for is None else [_name(program.kernels_for)]
    arena = ("PSRAM" if fit.places[ARENA] == PSRAM else "internal RAM") + _second_arena(program)
    return _TEXT.format(
        targets=" | ".join(targets),
        dashes=" | ".join("-" * len(name) for name in targets),
        hash=program.model_hash[:16],
        made_for="" if target_chip == "host" else f" Partitions, flash size and memory were chosen for {target_chip}.",
        chip=chip,
        ports="\n".join(_port_lines(program)),
        memory=f"Activations take {program.arena_bytes} bytes of {arena}, weights and tables {program.constant_bytes} "
        f"bytes, a run less than 2 kB of stack." + _cores(program),
        inputs=", ".join(f".{port.c_name} = ..." for port in program.callers_inputs),
        outputs=", ".join(f".{port.c_name} = ..." for port in program.callers_outputs),
    )


def _second_arena(program: Program) -> str:
    return f" and {program.psram_arena_bytes} of PSRAM" if program.psram_arena_bytes else ""


def _name(chip: str) -> str:
    return next(name for name in _TARGETS if name.replace("-", "").lower() == chip)


def _cores(program: Program) -> str:
    count = sum(call.split is not None for call in program.calls())
    if not count:
        return ""
    return (
        f" {count} kernels are computed in two parts, the second on the other core by a task of its own (menuconfig, "
        '"Kernels"): pin the task that runs the model to a core, as `sdkconfig.defaults` does with the example\'s.'
    )


def _port_lines(program: Program) -> List[str]:
    lines = [
        "| | name | field | C type, elements | shape | one unit of its integer is worth |",
        "|---|---|---|---|---|---|",
    ]
    for kind, ports in (("input", program.callers_inputs), ("output", program.callers_outputs)):
        lines += [_port_line(kind, port) for port in ports]
    lines += [_port_line("state", state.before) for state in program.states]
    if program.states:
        lines += [
            "",
            "States stay in the program from call to call; `tvmgen_default_reset()` sets them to zeros again.",
        ]
    return lines


def _port_line(kind: str, port: Port) -> str:
    unit = "" if port.exponent is None else f"2^{port.exponent}" + ("" if port.dtype.startswith("int") else " (inside)")
    if port.zero_point != 0:
        unit += f"; q is worth {centred_text('q', port.zero_point)} * 2^{port.exponent}"
    if port.pixels is not None:
        unit += f"; {pixels_text(port.pixels)}"
    name = re.sub(r"[^\w .:/-]", "?", shown(port.name))
    shape = "x".join(map(str, port.shape)) + f" {layout_of(port)}".rstrip()
    return f"| {kind} | {name} | `{port.c_name}` | {port.dtype}, {port.elements} | {shape} | {unit} |"
