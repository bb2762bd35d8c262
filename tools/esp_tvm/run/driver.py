"""The C around `tvmgen_default_run` in programs that read samples from a file, and the bytes of those samples."""

from __future__ import annotations

from typing import Dict, Sequence

import numpy as np

from ..c_text import C_TYPES
from ..program.form import Port


def fill(template: str, inputs: Sequence[Port], outputs: Sequence[Port], source: str, target: str = "", **more) -> str:
    """A program: `template` with the parts that depend on the model's ports filled in.

    source, target: C expressions for the open files from which samples are read and to which outputs are written
    more: further placeholders of the template

    The template contains {buffers} for static memory of all ports, {inputs} and {outputs} for the initializers of the
    structs, {read} for a condition that reads a sample, and {write} for statements that write all outputs.
    """

    def size(kind: str, port: Port) -> str:
        return f"TVMGEN_DEFAULT_{kind}_{port.macro}_SIZE"

    ports = [("INPUT", port) for port in inputs] + [("OUTPUT", port) for port in outputs]
    buffers = [
        f"static _Alignas(16) {C_TYPES[port.dtype]} {kind.lower()}_{port.c_name}[{port.elements}];"
        for kind, port in ports
    ]
    read = [
        f"fread(input_{port.c_name}, 1, {size('INPUT', port)}, {source}) == {size('INPUT', port)}" for port in inputs
    ]
    write = [f"fwrite(output_{port.c_name}, 1, {size('OUTPUT', port)}, {target});" for port in outputs]
    return template.format(
        buffers="\n".join(buffers),
        inputs=", ".join(f".{port.c_name} = input_{port.c_name}" for port in inputs),
        outputs=", ".join(f".{port.c_name} = output_{port.c_name}" for port in outputs),
        read=" && ".join(read),
        write="\n        ".join(write),
        **more,
    )


def sample_bytes(inputs: Sequence[Port], samples: Dict[str, np.ndarray]) -> bytes:
    """All samples (ONNX input name -> array [N, ...]) as such a program reads them, one after the other."""
    blob = bytearray()
    for index in range(len(next(iter(samples.values())))):
        for port in inputs:
            blob += np.ascontiguousarray(samples[port.name][index], dtype=port.dtype).tobytes()
    return bytes(blob)


def first_error(text: str) -> str:
    """The first error or warning in a compiler's output."""
    return next((line for line in text.splitlines() if "error" in line), text.strip()[:300])
