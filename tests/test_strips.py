"""Layers that run together in strips of rows: the same bytes, less memory, and a trace of whole layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pipeline_harness import Kernels, Program, write_files
from strip_cases import RandomProgram, force_loops

from esp_tvm.compile.emitting.emit import emit
from esp_tvm.compile.kernels import esp32s3
from esp_tvm.compile.planning.choose import choose_kernels
from esp_tvm.compile.planning.memory import place_tensors
from esp_tvm.program import Loop
from esp_tvm.run.compare import compare_with_rules


@pytest.fixture(scope="module")
def kernels():
    return Kernels()


def samples_of(program, random, count=2):
    port = program.inputs[0]
    return {port.name: random.randint(-128, 128, (count, *port.shape)).astype(np.int8)}


def check_bytes(program, kernels, folder: Path, random) -> None:
    """The generated C, with sanitizers, computes every layer by the rules."""
    code = emit(place_tensors(program))
    write_files(program, code, folder)
    comparison = compare_with_rules(Program(folder, kernels), samples_of(program, random))
    wrong = [(layer.step, layer.kernel, layer.differing) for layer in comparison.layers if layer.differing]
    assert comparison.samples_equal == 2, f"{wrong}; {[item for item in program.items if isinstance(item, Loop)]}"


@pytest.mark.parametrize("seed", range(300))
def test_random_loops_give_the_same_bytes(seed, kernels, tmp_path):
    random = np.random.RandomState(1000 + seed)
    vector = seed % 3 == 2
    program = RandomProgram(seed, wide=vector).program
    if seed % 3:
        program = choose_kernels(program, esp32s3.CHIP if vector else None)
    while not force_loops(program, random):
        program = RandomProgram(int(random.randint(1 << 30)), wide=vector).program
    check_bytes(program, kernels, tmp_path, random)
