"""The C around `tvmgen_default_run` in programs that read samples from a file, and the bytes of those samples."""

from __future__ import annotations

from typing import Dict, Sequence

import numpy as np

from ..c_text import C_TYPES
from ..program.form import Port, Program


def fill(template: str, program: Program, source: str, target: str = "", **more) -> str:
    """A program: `template` with the parts that depend on the model's ports filled in.

    source, target: C expressions for the open files from which samples are read and to which outputs are written
    more: further placeholders of the template

    The template contains {buffers} for static memory of all ports, {inputs} and {outputs} for the initializers of the
    structs, {read} for a condition that reads a sample, and {write} for statements that write all outputs.
    A sample holds states too, which a program with states does not take: it has its own. {put_states} are statements
    that give it those of the sample; its own, after the call, are among the outputs.
    """
    inputs, outputs = program.callers_inputs, program.callers_outputs
    kept = {state.after: f"tvmgen_default_states().{state.before.c_name}" for state in program.states}
    ports = [("input", port) for port in program.inputs] + [("output", port) for port in outputs]
    buffers = [
        f"static _Alignas(16) {C_TYPES[port.dtype]} {kind}_{port.c_name}[{port.elements}];" for kind, port in ports
    ]
    read = [f"fread(input_{port.c_name}, 1, {port.bytes}, {source}) == {port.bytes}" for port in program.inputs]
    write = [
        f"fwrite({kept.get(port, f'output_{port.c_name}')}, 1, {port.bytes}, {target});" for port in program.outputs
    ]
    put = [
        f"memcpy(tvmgen_default_states().{state.before.c_name}, input_{state.before.c_name}, {state.before.bytes});"
        for state in program.states
    ]
    return template.format(
        buffers="\n".join(buffers),
        inputs=", ".join(f".{port.c_name} = input_{port.c_name}" for port in inputs),
        outputs=", ".join(f".{port.c_name} = output_{port.c_name}" for port in outputs),
        read=" && ".join(read),
        write="\n        ".join(write),
        put_states=" ".join(put),
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
